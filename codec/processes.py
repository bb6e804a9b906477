"""Several processes that work for one command, for what takes a second per item and does not share memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from stream.errors import ClariError
from stream.worker import begin_worker

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Like `map`: results in the order of the items, whichever process made them."""


def _begin(start: Callable[[], None]) -> None:
    begin_worker()
    start()


@contextmanager
def processes(count: int, start: Callable[[], None]) -> Iterator[Run]:
    """A `map` over `count` processes, each of which calls `start` first.

    Raises:
        ClariError: a process died.
    """
    # Spawned, not forked: a fork would copy the threads' locks of torch and onnxruntime.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (start,)) as pool:
        try:
            yield pool.map
        except BrokenProcessPool:
            raise ClariError("a working process died, likely out of memory; use --workers 1") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)  # the processes are what runs in parallel, and one thread adds in one order


@contextmanager
def measuring(count: int) -> Iterator[Run]:
    """A `map` over `count` processes for what uses torch, or in this one.

    Raises:
        ClariError: a process died.
    """
    if count == 1:
        yield map
        return
    with processes(count, _one_thread) as run:
        yield run
