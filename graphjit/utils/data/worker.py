"""What a worker process of a loader does: fetch the batches it is asked for, in order."""

from __future__ import annotations

import math
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import numpy as np

from ...frontend.info import set_num_threads
from ...frontend.random import manual_seed
from .dataset import IterableDataset
from .fetch import Fetch, Recipe
from .transport import Failure, Message


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker process: its number of so many, its seed, and its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The worker that this process is; None in the main process."""
    return _info


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a loader are told when they start."""

    recipe: Recipe
    init_fn: Callable[[int], None] | None
    base_seed: int
    num_workers: int


@dataclass(frozen=True, slots=True)
class Task:
    """Fetch one batch: the `place`-th of the `epoch`-th pass."""

    epoch: int
    place: int
    index: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task."""

    epoch: int
    place: int
    value: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker's copy of an iterable data set has no more samples."""


class _Inbox:
    """Tasks, read as they come, so that the main process never waits for a busy worker."""

    def __init__(self, connection: Connection) -> None:
        self.latest: float = 0
        self._connection = connection
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        task: Task | None = None
        while True:
            try:
                task = self._connection.recv()
            except (EOFError, OSError):  # the main process has gone
                task = None
            self.latest = math.inf if task is None else task.epoch
            self._tasks.put(task)
            if task is None:
                return

    def next_task(self) -> Task | None:
        """The next task whose batch is still wanted; None when it is time to go."""
        while (task := self._tasks.get()) is not None:
            if task.epoch >= self.latest:
                return task
        return None


def run_worker(job: Job, number: int, connection: Connection, other_end: Connection) -> None:
    """Fetch batches until the main process says so, or is no more."""
    other_end.close()  # the main process alone holds it: the line ends when that does
    # Ctrl-C reaches all processes of a terminal; the main one ends the others in good order.
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    where = f"in DataLoader worker process {number}"
    inbox = _Inbox(connection)
    problem = _set_up(job, number, where)
    epoch, fetch, ended = 0, None, False
    while (task := inbox.next_task()) is not None:
        if task.epoch != epoch:
            epoch, fetch, ended = task.epoch, None, False
        if ended:
            continue
        value = problem
        if value is None:
            fetch, value = _attempt(job.recipe, fetch, task.index, where)
        ended = isinstance(value, Ended)
        try:
            _message(Answer(epoch, task.place, value), where).send(connection)
        except OSError:
            return


def _set_up(job: Job, number: int, where: str) -> Failure | None:
    """Seed the generators and call the user's function."""
    global _info
    seed = job.base_seed + number
    set_num_threads(1)
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(np.random.SeedSequence([number, job.base_seed]).generate_state(4))
    _info = WorkerInfo(number, job.num_workers, seed, job.recipe.dataset)
    try:
        if job.init_fn is not None:
            job.init_fn(number)
    except Exception as error:  # noqa: BLE001  (raised again in the main process)
        return Failure.of(error, where)
    return None


def _attempt(
    recipe: Recipe, fetch: Fetch | None, index: Any, where: str
) -> tuple[Fetch | None, Any]:
    """A batch, or what stands for an exception; and the pass that goes on."""
    try:
        if fetch is None:
            fetch = recipe.start()
        return fetch, fetch(index)
    except Exception as error:  # noqa: BLE001  (raised again in the main process)
        if isinstance(error, StopIteration) and isinstance(recipe.dataset, IterableDataset):
            return fetch, Ended()
        return fetch, Failure.of(error, where)


def _message(answer: Answer, where: str) -> Message:
    try:
        return Message.of(answer)
    except Exception as error:  # noqa: BLE001  (raised again in the main process)
        return Message.of(Answer(answer.epoch, answer.place, Failure.of(error, where)))
