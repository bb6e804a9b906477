"""Where the work of a campaign is done: in processes of this machine, or on a cluster with Ray.

An engine takes a function and jobs and gives (job, result) pairs as they are done, in any order. It knows nothing of
what they are; results depend on the jobs alone, so that engines differ in nothing but speed.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, TypeVar

from stream.errors import ClariError
from stream.worker import begin_worker

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # jobs per process that wait for it: enough that none is idle, few enough that little is lost
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
"""Sums in one order, and no two libraries that fight for the cores."""


class Engine(Protocol):
    """Something that computes."""

    def run(self, work: Callable[[Item], Result], jobs: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Every job with its result, in the order in which they are done."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class LocalEngine:
    """Processes of this machine, spawned: each loads its models once."""

    def __init__(self, workers: int):
        self._workers = workers
        os.environ.update(ONE_THREAD)  # the processes inherit it before they load a library that asks
        self._pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=begin_worker)

    def run(self, work: Callable[[Item], Result], jobs: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """See Engine.run.

        Raises:
            ClariError: a process died; and whatever `work` raises.
        """
        waiting: dict[Future[Result], Item] = {}
        rest = iter(jobs)
        try:
            while True:
                for job in islice(rest, max(0, AHEAD * self._workers - len(waiting))):
                    waiting[self._pool.submit(work, job)] = job
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise ClariError("a process died, likely out of memory; run the command again with fewer --workers") from None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:  # nobody waits for what is half done
            for process in multiprocessing.active_children():
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


class RayEngine:
    """A cluster, or the cores of this machine, by Ray (Moritz et al., OSDI 2018): one core for each job.

    Ray's own environment says which cluster (`RAY_ADDRESS`). Its machines need clari, and the models at the same paths.
    """

    def __init__(self, workers: int):
        """`workers`: jobs at a time.

        Raises:
            ClariError: Ray is not installed, or no cluster answers.
        """
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise ClariError("--engine ray needs ray; install: pip install 'clari[ray]', or leave --engine out") from None
        self._workers = workers
        try:
            self._ray.init(ignore_reinit_error=True, log_to_driver=False, runtime_env={"env_vars": ONE_THREAD})
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise ClariError(f"ray does not start ({reason}); check RAY_ADDRESS, or leave --engine out") from None

    def run(self, work: Callable[[Item], Result], jobs: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """See Engine.run.

        Raises:
            ClariError: a worker died; and whatever `work` raises.
        """
        remote = self._ray.remote(num_cpus=1)(work)
        waiting: dict[Any, Item] = {}
        rest = iter(jobs)
        while True:
            for job in islice(rest, max(0, AHEAD * self._workers - len(waiting))):
                waiting[remote.remote(job)] = job
            if not waiting:
                return
            done, _ = self._ray.wait(list(waiting), num_returns=1)
            for reference in done:
                try:
                    yield waiting.pop(reference), self._ray.get(reference)
                except self._ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, ClariError) else error from None
                except self._ray.exceptions.RayError as error:
                    reason = str(error).splitlines()[0][:100]
                    raise ClariError(f"a worker of ray failed ({reason}); run the command again to go on") from None

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ray.shutdown()


ENGINES: dict[str, type[LocalEngine] | type[RayEngine]] = {"local": LocalEngine, "ray": RayEngine}
