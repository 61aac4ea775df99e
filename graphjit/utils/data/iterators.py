"""Passes over a loader's batches: in this process, or by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NoReturn

from .fetch import Recipe
from .sampler import drawn_seed
from .transport import Failure, receive
from .worker import Answer, Ended, Job, Task, run_worker

if TYPE_CHECKING:
    from .loader import DataLoader

#: Seconds that workers have to finish what they are at.
PATIENCE = 5.0


class LoaderIterator:
    """One pass over the batches of a loader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        # Not the loader itself: it keeps this iterator where workers persist, and both would stay.
        self._index_sampler = loader.index_sampler
        self._num_workers = loader.num_workers
        self._recipe = Recipe(
            loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last
        )
        self._rewind(loader)
        self._base_seed = drawn_seed(loader.generator)

    def _rewind(self, loader: DataLoader[Any]) -> None:
        self._indices: Iterator[Any] = iter(self._index_sampler)
        self._expected = loader.expected_length
        self._yielded = 0

    def __iter__(self) -> LoaderIterator:
        return self

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __next__(self) -> Any:
        batch = self._next_batch()
        self._yielded += 1
        if self._expected is not None and self._yielded > self._expected:
            warnings.warn(self._too_long(), stacklevel=2)
        return batch

    def __getstate__(self) -> NoReturn:
        raise NotImplementedError("{} cannot be pickled", self.__class__.__name__)

    def _next_batch(self) -> Any:
        raise NotImplementedError

    def _too_long(self) -> str:
        text = (
            f"Length of IterableDataset {self._recipe.dataset} was reported to be {self._expected}"
            f"(when accessing len(dataloader)), but {self._yielded} samples have been fetched. "
        )
        if self._num_workers:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly "
                "configuring the IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for "
                "examples."
            )
        return text


class SingleProcessIterator(LoaderIterator):
    """Batches fetched when they are asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        super().__init__(loader)
        self._fetch = self._recipe.start()

    def _next_batch(self) -> Any:
        return self._fetch(next(self._indices))


@dataclass(slots=True)
class Worker:
    """A worker process, the line to it, and whether this pass may give it more tasks."""

    process: Any
    connection: Connection
    active: bool = True


class MultiProcessIterator(LoaderIterator):
    """Batches fetched by workers ahead of time, and given out in order.

    Each worker has up to `prefetch_factor` tasks. A task is in `_pending` until its batch is given
    out, and the batch in `_arrived` from when it comes.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        if not loader.prefetch_factor:
            raise AssertionError(
                "prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter"
            )
        super().__init__(loader)
        self._workers: list[Worker] = []
        self._limit = loader.prefetch_factor * loader.num_workers
        self._in_order, self._timeout = loader.in_order, loader.timeout
        self._persistent = loader.persistent_workers
        self._epoch = 0
        # A child process made by `fork` has this iterator too; the workers are not its own.
        self._stop = weakref.finalize(self, stop_workers, self._workers, os.getpid())
        job = Job(self._recipe, loader.worker_init_fn, self._base_seed, loader.num_workers)
        context = loader.multiprocessing_context or multiprocessing.get_context()
        for number in range(loader.num_workers):
            self._workers.append(start_worker(context, job, number))
        self._begin()

    @property
    def stopped(self) -> bool:
        """Whether the workers have gone."""
        return not self._stop.alive

    def restart(self, loader: DataLoader[Any]) -> None:
        """Begin another pass with the same workers; batches of the last one are let go."""
        self._rewind(loader)
        self._begin()

    def _begin(self) -> None:
        self._epoch += 1
        self._place = 0
        self._pending: dict[int, Worker] = {}
        self._arrived: dict[int, Any] = {}
        self._exhausted = False
        for worker in self._workers:
            worker.active = True
        self._turns = cycle(self._workers)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give tasks to workers until there are enough, or no more."""
        while len(self._pending) < self._limit and not self._exhausted:
            worker = self._free_worker()
            if worker is None:
                return
            try:
                index = next(self._indices)
            except StopIteration:
                self._exhausted = True
                return
            self._pending[self._place] = worker
            try:
                worker.connection.send(Task(self._epoch, self._place, index))
            except OSError:
                self._report_death(worker)
            self._place += 1

    def _free_worker(self) -> Worker | None:
        """The worker whose turn it is; out of order, one that has not yet its share of tasks."""
        active = sum(worker.active for worker in self._workers)
        for _ in self._workers:
            worker = next(self._turns)
            if worker.active and (
                self._in_order or self._tasks_of(worker) < self._limit // active
            ):
                return worker
        return None

    def _tasks_of(self, worker: Worker) -> int:
        return sum(other is worker for other in self._pending.values())

    def _next_batch(self) -> Any:
        while self._pending:
            place = next(iter(self._pending if self._in_order else self._arrived), None)
            if place in self._arrived:
                del self._pending[place]
                batch = self._arrived.pop(place)
                self._hand_out()
                if isinstance(batch, Failure):
                    batch.reraise()
                return batch
            self._take_in()
        if not self._persistent:
            self._stop()
        raise StopIteration

    def _take_in(self) -> None:
        """Wait for answers. RuntimeError if none comes in time, or a worker has died."""
        lines = {worker.connection: worker for worker in self._workers}
        ready = wait(list(lines), self._timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        for connection in ready:
            worker = lines[connection]  # type: ignore[index]
            try:
                answer = receive(worker.connection)
            except (EOFError, OSError):
                self._report_death(worker)
            except BaseException:  # Ctrl-C within a message: nobody can tell where the next begins
                self._give_up()
                raise
            if answer.epoch == self._epoch:
                self._file(worker, answer)

    def _file(self, worker: Worker, answer: Answer) -> None:
        if not isinstance(answer.value, Ended):
            self._arrived[answer.place] = answer.value
            return
        worker.active = False
        for place, other in list(self._pending.items()):
            if other is worker and place not in self._arrived:
                del self._pending[place]
        self._hand_out()

    def _give_up(self) -> None:
        self._pending.clear()
        self._stop()

    def _report_death(self, worker: Worker) -> NoReturn:
        worker.process.join(PATIENCE)
        pid, code = worker.process.pid, worker.process.exitcode
        self._give_up()
        if code is not None and code < 0:
            raise RuntimeError(
                f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(-code)}. "
            )
        raise RuntimeError(
            f"DataLoader worker (pid {pid}) exited unexpectedly with exit code {code}. Details are "
            "lost due to multiprocessing. Rerunning with num_workers=0 may give better error trace."
        )


def start_worker(context: Any, job: Job, number: int) -> Worker:
    """A process that waits for tasks."""
    here, there = context.Pipe()
    process = context.Process(target=run_worker, args=(job, number, there, here), daemon=True)
    try:
        process.start()
    except BaseException:
        here.close()
        raise
    finally:
        there.close()  # so that the line ends when the worker does
    return Worker(process, here)


def stop_workers(workers: list[Worker], owner: int) -> None:
    """End worker processes: by asking them, or where that takes too long, by force."""
    if os.getpid() != owner:
        return
    for worker in workers:
        try:
            worker.connection.send(None)
        except OSError:
            continue  # it has ended already
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        _drain(worker.connection, deadline)
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()
    workers.clear()


def _drain(connection: Connection, deadline: float) -> None:
    """Read what a worker is still sending, which could not end otherwise."""
    try:
        while connection.poll(max(0.0, deadline - time.monotonic())):
            connection.recv_bytes()
    except (EOFError, OSError):
        return
