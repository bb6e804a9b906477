# Two commands do everything on a fresh Debian machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
DEMO_ENV := .venv-demo
TEST_ENV := .venv
TORCH_CPU := torch==2.13.0+cpu
PIP_FLAGS := -qq --disable-pip-version-check

.PHONY: help demo test bench clean check-python check-programs

help: ## Show this list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/'

demo: $(DEMO_ENV)/ready ## Send a clip of real speech through a simulated satellite link.
	$(DEMO_ENV)/bin/clari-demo --out clari-demo

test: check-programs $(TEST_ENV)/ready ## Check style and types, then run every test.
	$(TEST_ENV)/bin/ruff check .
	$(TEST_ENV)/bin/ruff format --check .
	$(TEST_ENV)/bin/mypy
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist loadfile

bench: $(DEMO_ENV)/ready ## Measure speed and memory of the codec.
	$(DEMO_ENV)/bin/clari-bench codec

clean: ## Remove the environments and what the demo wrote.
	rm -rf $(DEMO_ENV) $(TEST_ENV) clari-demo

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "clari needs Python 3.11 or newer as $(PYTHON); install it: apt-get install python3, or name it: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python cannot make virtual environments; install: apt-get install python3-venv" >&2; exit 1; }

# The tests let real programs speak and code: flite and espeak-ng make speech, codec2 is compared with.
check-programs:
	@missing=""; for each in flite:flite espeak-ng:espeak-ng c2enc:codec2; do \
		command -v $${each%%:*} >/dev/null || missing="$$missing $${each##*:}"; done; \
		[ -z "$$missing" ] || { echo "the tests need programs that are missing; install: apt-get install$$missing" >&2; exit 1; }

$(DEMO_ENV)/ready: pyproject.toml | check-python
	@echo "setting up $(DEMO_ENV): the runtime, without torch"
	$(PYTHON) -m venv $(DEMO_ENV)
	$(DEMO_ENV)/bin/pip install $(PIP_FLAGS) -e '.[ui]'
	@touch $@

# Without a CUDA driver a CPU build of torch is enough: hundreds of megabytes instead of gigabytes. pip takes one where
# its sources hold it; otherwise uv, which knows where the CPU builds are, finds the build that fits this machine.
$(TEST_ENV)/ready: pyproject.toml | check-python
	@echo "setting up $(TEST_ENV): runtime, training, export, evaluation and test tools"
	$(PYTHON) -m venv $(TEST_ENV)
	@if command -v nvidia-smi >/dev/null 2>&1; then $(TEST_ENV)/bin/pip install $(PIP_FLAGS) 'torch>=2.6'; \
	else $(TEST_ENV)/bin/pip install $(PIP_FLAGS) '$(TORCH_CPU)' 2>/dev/null || \
		{ $(TEST_ENV)/bin/pip install $(PIP_FLAGS) uv && $(TEST_ENV)/bin/uv pip install -q --python $(TEST_ENV)/bin/python --torch-backend auto 'torch>=2.6'; }; fi
	$(TEST_ENV)/bin/pip install $(PIP_FLAGS) -e '.[dev]'
	@$(TEST_ENV)/bin/pip install $(PIP_FLAGS) -e '.[pesq]' 2>/dev/null || \
		echo "tests of PESQ will be skipped: its package does not build here (a C compiler and Python's headers build it)"
	@$(TEST_ENV)/bin/pip install $(PIP_FLAGS) -e '.[ray]' 2>/dev/null || echo "the test of a real Ray will be skipped: Ray has no wheel for this machine"
	@touch $@
