"""Engines compute the same, whoever does the work, and say in one line what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from channel import sim
from channel.engines import ENGINES, LocalEngine, RayEngine
from stream.errors import ClariError, ModelError

RAY_CAMPAIGN = ("--link-only", "--utterances", "1", "--stream-s", "20", "--preset", "hf", "--protection", "none", "4+1")


def half(number: int) -> float:
    if number == 13:
        raise ModelError("no thirteen; take another")
    return number / 2


@dataclass(frozen=True, eq=False)
class FakeReference:
    """A task that was begun; like Ray's own, one is equal to itself alone and can be a key, whatever the job."""

    work: Callable[[Any], Any]
    job: Any


class FakeRay(ModuleType):
    """What the engine uses of ray: tasks that are done when they are fetched, the newest first."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        def __init__(self, cause: Exception):
            self.cause = cause

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=self.RayError, RayTaskError=self.RayTaskError)
        self.running = False
        self.most = 0

    def init(self, **options: Any) -> None:
        self.running = True

    def shutdown(self) -> None:
        self.running = False

    def remote(self, num_cpus: int) -> Callable[[Any], Any]:
        assert num_cpus == 1
        return lambda work: SimpleNamespace(remote=lambda job: FakeReference(work, job))

    def wait(self, references: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference: Any) -> Any:
        assert self.running
        try:
            return reference.work(reference.job)
        except Exception as error:
            raise self.RayTaskError(error) from None


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def test_ray_computes_every_job_once_and_few_at_a_time(ray: FakeRay) -> None:
    with RayEngine(3) as engine:
        assert sorted(engine.run(half, range(20, 40))) == [(number, number / 2) for number in range(20, 40)]
    assert ray.most == 6 and not ray.running


def test_local_processes_compute_every_job_once() -> None:
    with LocalEngine(2) as engine:
        assert sorted(engine.run(half, range(20, 30))) == [(number, number / 2) for number in range(20, 30)]


@pytest.mark.parametrize("name", ("local", "ray"))
def test_an_error_of_the_work_arrives_as_it_was_raised(ray: FakeRay, name: str) -> None:
    with pytest.raises(ModelError, match="no thirteen; take another"), ENGINES[name](1) as engine:
        list(engine.run(half, [12, 13]))


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert sim.main([*RAY_CAMPAIGN, "--engine", "ray", "--out", str(tmp_path)]) == ClariError.exit_code
    message = capsys.readouterr().err
    assert message == "clari-sim: --engine ray needs ray; install: pip install 'clari[ray]', or leave --engine out\n"


def test_a_cluster_that_does_not_answer_is_one_line(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(**options: Any) -> None:
        raise ConnectionError("no cluster at 10.0.0.1\nand a traceback")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(ClariError, match=r"^ray does not start \(no cluster at 10.0.0.1\); check RAY_ADDRESS, or"):
        RayEngine(1)


def check_engines_agree(tmp_path: Path) -> None:
    for engine in ENGINES:
        assert sim.main([*RAY_CAMPAIGN, "--engine", engine, "--workers", "1", "--out", str(tmp_path / engine)]) == 0
    for table in ("table.csv", "cells.csv", "cells.parquet"):
        assert (tmp_path / "local" / table).read_bytes() == (tmp_path / "ray" / table).read_bytes()


def test_a_campaign_finds_the_same_with_either_engine(ray: FakeRay, tmp_path: Path) -> None:
    check_engines_agree(tmp_path)


def test_a_campaign_finds_the_same_on_a_real_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs ray; install: pip install 'clari[ray]'")
    check_engines_agree(tmp_path)
