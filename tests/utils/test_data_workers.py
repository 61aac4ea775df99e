"""Worker processes: order, randomness, errors, and that none is left behind."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import graphjit
from graphjit.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    default_collate,
    get_worker_info,
)


@pytest.fixture(autouse=True)
def no_process_is_left():
    """Every test ends without children."""
    yield
    gc.collect()
    assert not multiprocessing.active_children()


class Rows(Dataset):
    """Samples of every kind, each with the process that made it."""

    def __init__(self, n: int = 10) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        big = np.full((40, 40), i)
        return {"i": i, "pid": os.getpid(), "big": big, "text": str(i), "t": graphjit.tensor([i])}


def test_batches_are_those_of_one_process():
    one, many = (list(DataLoader(Rows(), 3, num_workers=n)) for n in (0, 2))
    assert len({pid for batch in many for pid in batch["pid"].tolist()} - {os.getpid()}) == 2
    for left, right in zip(one, many, strict=True):
        assert left["text"] == right["text"]
        assert all(graphjit.equal(left[name], right[name]) for name in ("i", "big", "t"))
        right["big"].add_(1)  # the memory of received tensors can be written to


def test_shuffled_order_does_not_depend_on_workers():
    orders = []
    for workers in (0, 1, 2):
        graphjit.manual_seed(2)
        loader = DataLoader(Rows(20), 3, shuffle=True, num_workers=workers)
        orders.append([batch["i"].tolist() for _ in range(2) for batch in loader])
    assert orders[0] == orders[1] == orders[2]


class SlowFirst(Rows):
    def __getitem__(self, i: int) -> Any:
        time.sleep(0.3 if i == 0 else 0)
        return i


@pytest.mark.parametrize("in_order", [True, False])
def test_order_of_batches_is_kept_on_demand(in_order):
    loader = DataLoader(SlowFirst(8), None, num_workers=2, in_order=in_order)
    found = list(loader)
    assert sorted(found) == list(range(8))
    assert (found == list(range(8))) is in_order


class Randoms(Rows):
    def __getitem__(self, i: int) -> Any:
        info = get_worker_info()
        assert info is not None and isinstance(info.dataset, Randoms)
        numbers = (random.random(), float(np.random.rand()), graphjit.rand(()).item())
        return info.id, info.num_workers, info.seed, numbers, graphjit.get_num_threads()


def test_workers_have_seeds_of_their_own():
    """Python's, NumPy's and graphjit's generators differ among workers; a seed repeats them."""
    runs = []
    for _ in range(2):
        graphjit.manual_seed(7)
        runs.append(list(DataLoader(Randoms(4), None, num_workers=2)))
    assert runs[0] == runs[1]
    first, second = runs[0][:2]
    assert [first[0], second[0]] == [0, 1] and first[1] == 2
    assert second[2] == first[2] + 1
    assert not set(first[3]) & set(second[3])
    assert first[4] == 1
    assert get_worker_info() is None


class Count(IterableDataset):
    """Worker k gives 0 to k."""

    def __iter__(self) -> Any:
        return iter(range((get_worker_info() or Rows()).id + 1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
def test_iterable_data_sets_end_worker_by_worker():
    assert list(DataLoader(Count(), None, num_workers=3)) == [0, 0, 0, 1, 1, 2]


class Failing(Rows):
    def __getitem__(self, i: int) -> Any:
        if i == 1:
            raise ValueError("bad row")
        if i == 2:
            raise KeyError("key")
        if i == 3:
            raise type("Local", (Exception,), {})("local")
        if i == 4:
            raise UnicodeDecodeError("utf8", b"a", 0, 1, "takes five")
        return (lambda: i) if i == 5 else i


def test_errors_of_workers_are_raised_here():
    """The class is kept where it can be; the pass goes on after an error."""
    batches = iter(DataLoader(Failing(7), None, num_workers=1))
    assert next(batches) == 0
    for kind, text in [
        (ValueError, "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most"),
        (KeyError, "Caught KeyError in DataLoader worker process 0.\nOriginal Traceback"),
        (RuntimeError, "in DataLoader worker process 0.\nOriginal Traceback"),
        (RuntimeError, "Caught UnicodeDecodeError in DataLoader worker process 0."),
        (Exception, "in DataLoader worker process 0.\nOriginal Traceback"),
    ]:
        with pytest.raises(kind) as caught:
            next(batches)
        assert text in str(caught.value)
    assert next(batches) == 6
    assert list(batches) == []


def fail(number: int) -> None:
    raise OSError(f"worker {number} cannot")


def test_errors_of_worker_init_fn_are_raised_here():
    with pytest.raises(OSError, match="Caught OSError in DataLoader worker process 0"):
        next(iter(DataLoader(Rows(), num_workers=1, worker_init_fn=fail)))


def test_tensors_with_history_are_refused():
    class Grads(Rows):
        def __getitem__(self, i: int) -> Any:
            return graphjit.ones(2, requires_grad=True) * i

    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        next(iter(DataLoader(Grads(), None, num_workers=1)))


def test_views_travel_without_their_storage():
    """A row of a large tensor is sent as a row."""
    data = TensorDataset(graphjit.arange(100_000).view(100, 1000))
    loader = DataLoader(data, 2, num_workers=1, collate_fn=lambda samples: samples[1][0])
    row = next(iter(loader))
    assert row.tolist() == list(range(1000, 2000))
    base = row._array if row._array.base is None else row._array.base
    assert memoryview(base).nbytes == 8000


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "is killed by signal: Killed"),
        (lambda: os._exit(3), "exited unexpectedly with exit code 3"),
    ],
)
def test_the_death_of_a_worker_is_noticed(end, text):
    class Deadly(Rows):
        def __getitem__(self, i: int) -> Any:
            return end() if i == 3 else i

    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=text):
        list(DataLoader(Deadly(), None, num_workers=2))
    assert time.monotonic() - begin < 30


class Sleepy(Rows):
    def __getitem__(self, i: int) -> Any:
        time.sleep(0.6)
        return i


def test_timeout():
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.1 seconds"):
        next(iter(DataLoader(Sleepy(), num_workers=1, timeout=0.1)))


def test_workers_end_when_a_loop_is_left():
    """Also those that wait for somebody to read a batch larger than what a pipe holds."""

    class Large(Rows):
        def __getitem__(self, i: int) -> Any:
            return np.zeros(1 << 20)

    begin = time.monotonic()
    for _ in DataLoader(Large(), None, num_workers=2):
        break
    del _
    gc.collect()
    assert not multiprocessing.active_children()
    assert time.monotonic() - begin < 30


def test_a_busy_worker_is_sent_many_indices():
    """Lists of indices larger than what a pipe holds do not block a worker that sends."""
    data = TensorDataset(graphjit.zeros(200_000, 4))
    loader = DataLoader(data, 50_000, num_workers=1, prefetch_factor=4)
    assert sum(len(batch) for (batch,) in loader) == 200_000


class Pids(Rows):
    def __getitem__(self, i: int) -> Any:
        return os.getpid(), i


def test_persistent_workers_serve_all_passes():
    loader = DataLoader(Pids(8), None, num_workers=2, persistent_workers=True)
    first = list(loader)
    for _ in itertools.islice(loader, 3):
        pass  # what was fetched ahead is not given to the next pass
    assert list(loader) == first
    assert [i for _, i in first] == list(range(8))
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert not multiprocessing.active_children()


def test_persistent_workers_begin_iterable_data_sets_anew():
    loader = DataLoader(Count(), None, num_workers=2, persistent_workers=True)
    assert [list(loader) for _ in range(3)] == [[0, 0, 1]] * 3


def test_two_loaders_at_once():
    """Workers of one loader hold copies of the other's lines; both end all the same."""
    loaders = [DataLoader(SlowFirst(6), None, num_workers=1) for _ in range(2)]
    assert list(zip(*loaders, strict=True)) == [(i, i) for i in range(6)]
    left, right = (iter(loader) for loader in loaders)
    next(left), next(right)
    del left
    assert next(right) == 1


@pytest.mark.parametrize("method", ["spawn", multiprocessing.get_context("spawn")])
def test_spawned_workers(method):
    loader = DataLoader(Rows(4), 2, num_workers=1, multiprocessing_context=method)
    assert [batch["i"].tolist() for batch in loader] == [[0, 1], [2, 3]]


def test_custom_collate_gives_objects():
    def counted(batch: Any) -> Any:
        return len(batch), default_collate(batch)

    loader = DataLoader(Rows(4), 2, num_workers=1, collate_fn=counted)
    assert [count for count, _ in loader] == [2, 2]


PROGRAM = """
import signal
import time, graphjit
from graphjit.utils.data import DataLoader, Dataset
class Slow(Dataset):
    def __len__(self): return 100
    def __getitem__(self, i):
        time.sleep(0.05)
        return i
if __name__ == "__main__":
    # A parent in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for batch in DataLoader(Slow(), num_workers=2, persistent_workers=PERSIST):
        print("batch", flush=True)
        ACTION
"""


@pytest.mark.parametrize("persistent", ["False", "True"])
@pytest.mark.parametrize(
    ("action", "sent", "code"),
    [
        ("pass", signal.SIGINT, -signal.SIGINT),
        ("pass", signal.SIGKILL, -signal.SIGKILL),
        ("1 / 0", None, 1),
        ("break", None, 0),
    ],
)
def test_nothing_is_left_of_a_program_that_ends(action, sent, code, persistent):
    """By Ctrl-C, by a kill of the main process alone, by an error, or early."""
    program = PROGRAM.replace("ACTION", action).replace("PERSIST", persistent)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as a terminal does
        elif sent is not None:
            process.send_signal(sent)
        errors = process.communicate(timeout=30)[1]  # returns when no process holds the pipes
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code
    assert errors.count("Traceback") == (code in (1, -signal.SIGINT)), errors
