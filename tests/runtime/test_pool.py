"""The pool of threads: shared work gives the same bits, whatever else goes on."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from kernels import float_kernel, layout

from graphjit import config
from graphjit.runtime import convolution, gemm, pool, pooling
from graphjit.runtime.image import TRIALS
from graphjit.runtime.instruction import Arena, External, Instruction, Status
from graphjit.runtime.program import Program
from graphjit.runtime.words import pool as word

SIZE = 200_000


@pytest.fixture(params=[2, 4])
def threads(request):
    before = config.override("NUM_THREADS", request.param)
    yield request.param
    config.override("NUM_THREADS", before)


def kernel(name, *args, size=SIZE):
    return Instruction(name, float_kernel(name), args, 0, size)


def doubling(count=3, size=SIZE):
    """A program that computes 2**count x."""
    steps = [kernel("add", External(0), External(0), External(1), size=size)]
    steps += [kernel("add", External(1), External(1), External(1), size=size)] * (count - 1)
    return Program(steps, arrays=2)


def settle(program, *arguments):
    """Run until it has been decided what to share."""
    for _ in range(TRIALS):
        program(*arguments)
    assert max(program.image.chunks()) > 0


def test_long_rows_are_shared_and_short_ones_are_not(threads):
    program = Program(
        [
            kernel("add", External(0), External(0), External(1)),
            kernel("add", External(0), External(0), Arena(0), size=8),
        ],
        arrays=2, arena=64,
    )  # fmt: skip
    x, out = np.arange(SIZE) + 0.0, np.zeros(SIZE)
    settle(program, x, out)
    chunks = program.image.chunks()
    assert 0 < chunks[0] < SIZE
    assert chunks[1] == 0


def test_many_calls(threads):
    program = doubling()
    x, out = np.arange(SIZE) + 0.0, np.zeros(SIZE)
    settle(program, x, out)
    for i in range(300):
        x[:] = i
        assert program(x, out) == 0
        assert out[0] == out[-1] == 8 * i
        if i % 100 == 0:
            assert np.all(out == 8 * i)
            time.sleep(0.01)  # the others go to sleep


def test_status_of_a_shared_row_stops_the_program(threads):
    program = Program(
        [kernel("check", External(0), Status()), kernel("halve", External(0))], arrays=1
    )
    x = np.ones(SIZE)
    settle(program, x)
    x[SIZE // 3] = -1
    before = x.copy()
    assert program(x) == 1
    np.testing.assert_array_equal(x, before)


def test_programs_of_several_threads_take_the_pool_in_turns(threads):
    wrong = []

    def work(value):
        program = doubling()
        x, out = np.full(SIZE, value), np.zeros(SIZE)
        for _ in range(60):
            program(x, out)
            if not np.all(out == 8 * value):
                wrong.append(value)

    callers = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def library_program(rng):
    """Products, convolutions and pools that need scratch, and the arrays for them."""
    x, w = rng.normal(size=(16, 8, 20, 20)), rng.normal(size=(12, 8, 3, 3))
    a, b = rng.normal(size=(300, 400)), rng.normal(size=(200, 400))
    y, values = np.zeros((16, 12, 18, 18)), np.zeros((16, 12, 9, 9))
    arrays = [x, w, y, np.zeros_like(x), np.zeros_like(w), values, values, a, b]
    arrays = [array.astype("f") for array in [*arrays, np.zeros((300, 200))]]
    arrays[6] = np.zeros(values.shape, np.int32)
    lx, lw, ly, ldx, ldw, lv, li, la, lb, lc = (layout(v, i) for i, v in enumerate(arrays))
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    steps = [
        convolution.conv2d(lx, lw, ly, *geometry),
        pooling.max_pool2d(ly, lv, li, (2, 2), (2, 2), (0, 0), (1, 1)),
        convolution.conv2d_input_grad(ly, lw, ldx, *geometry),
        convolution.conv2d_weight_grad(ly, lx, ldw, *geometry),
        gemm.matmul(la, lb.permute((1, 0)), lc),
    ]
    return Program(steps, arrays=len(arrays)), arrays


def test_library_kernels_give_the_same_bits(threads):
    program, arrays = library_program(np.random.default_rng(0))
    program(*arrays)
    expected = [array.copy() for array in arrays]
    settle(program, *arrays)
    assert all(program.image.chunks()[i] > 0 for i in (0, 2, 3, 4))
    for _ in range(30):
        for array in arrays[2:7]:
            array[...] = 0
        assert program(*arrays) == 0
        for array, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)


def test_stopped_pool_starts_again(threads):
    program = doubling()
    x, out = np.ones(SIZE), np.zeros(SIZE)
    settle(program, x, out)
    shared = pool.shared()
    shared.stop()
    program(x, out)  # by the caller alone
    assert np.all(out == 8)
    assert pool.shared() is shared
    out[:] = 0
    program(x, out)
    assert np.all(out == 8)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_in_the_middle_of_shared_work(threads):
    program = doubling(6)
    x, out = np.ones(SIZE), np.zeros(SIZE)
    settle(program, x, out)
    running = threading.Event()
    other = doubling(6)

    def keep_busy():
        mine = np.zeros(SIZE)
        while not running.is_set():
            other(x, mine)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    children = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            out[:] = 0
            program(x, out)
            fresh = doubling(6)
            again = np.zeros(SIZE)
            for _ in range(TRIALS + 5):
                fresh(x, again)
            os._exit(0 if np.all(out == 64) and np.all(again == 64) else 1)
        children.append(child)
    running.set()
    busy.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == [0] * 5


EXIT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_pool
program = test_pool.doubling()
x, out = np.ones(test_pool.SIZE), np.zeros(test_pool.SIZE)
for _ in range(20):
    program(x, out)
print(out[0])
"""


def test_process_ends_in_good_order():
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"GRAPHJIT_NUM_THREADS": "3", "PYTHONPATH": path}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", EXIT, os.path.dirname(__file__)],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "8.0\n", "")


def test_single_thread_has_no_pool():
    before = config.override("NUM_THREADS", 1)
    try:
        assert pool.shared() is None
        assert doubling().image.chunks() == [0, 0, 0]
    finally:
        config.override("NUM_THREADS", before)


def test_number_of_threads(monkeypatch):
    before = config.override("NUM_THREADS", 0)
    monkeypatch.setattr(pool, "_quota", lambda: 1)
    assert pool.wanted_threads() == 1
    monkeypatch.setattr(pool, "_quota", lambda: 10**9)
    assert pool.wanted_threads() == len(os.sched_getaffinity(0))
    config.override("NUM_THREADS", before)


@pytest.mark.parametrize("text, processors", [
    ("max 100000", 10**9), ("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1),
])  # fmt: skip
def test_quota_of_the_control_group(monkeypatch, text, processors):
    monkeypatch.setattr(pool.Path, "read_text", lambda self: text)
    assert min(pool._quota(), 10**9) == processors


def test_words_written_by_different_threads_do_not_share_a_line():
    lines = [w // word.LINE for w in (word.TICKET, word.KERNEL, word.DONE, word.LOCK,
                                      word.SLEEPING, word.WAKE, word.STOP)]  # fmt: skip
    assert len(set(lines)) == len(lines)
