"""Programs: arrays and floats put in at each call, memory, host calls, several threads, fork."""

import functools
import os
import threading

import numpy as np
import pytest
from kernels import float_kernel, layout

from graphjit import config, dtypes
from graphjit.runtime import runner
from graphjit.runtime.instruction import (
    Arena,
    External,
    HostCall,
    Instruction,
    Layout,
    ScalarSlot,
    Scratch,
    Status,
    row_major,
)
from graphjit.runtime.program import Memory, Program
from graphjit.runtime.words import program as word

N = 5


def add(x, y, out, end=N):
    return Instruction("add", float_kernel("add"), (x, y, out), 0, end)


def scale(x, factor, out):
    return Instruction("scale", float_kernel("scale"), (x, factor, out), 0, N)


def check(x):
    return Instruction("check", float_kernel("check"), (x, Status()), 0, N)


@pytest.fixture
def arrays():
    return np.arange(N) + 1.0, np.full(N, 0.5), np.zeros(N)


@pytest.fixture(params=["objects", "ctypes"])
def access(request, monkeypatch):
    """Arguments read from Python objects by native code, or put in by ctypes."""
    if request.param == "ctypes":
        monkeypatch.setattr(runner, "objects_are_as_expected", lambda: False)


def test_objects_are_laid_out_as_native_code_expects():
    assert runner.objects_are_as_expected()


def test_arrays_and_floats_of_each_call(arrays, access):
    x, y, out = arrays
    temporary = Arena(64)
    program = Program(
        [
            add(External(0), External(1), temporary),
            scale(temporary, ScalarSlot(1), External(2)),
            scale(External(2), ScalarSlot(0), External(2)),
        ],
        arrays=3, scalars=2, arena=64 + 8 * N,
    )  # fmt: skip
    for factor in (2.0, -0.25):
        assert program(x, y, out, factor, 3.0) == 0
        np.testing.assert_array_equal(out, (x + y) * 3.0 * factor)
    other = np.zeros(N)
    assert program(y, y, other, 1.0, 1.0) == 0
    np.testing.assert_array_equal(other, 2 * y)


def test_constants_and_offsets(access):
    program = Program([scale(External(0, 8), 2.5, External(1, 8))], arrays=2)
    long = np.arange(N + 1.0)
    target = np.zeros(N + 1)
    program(long, target)
    np.testing.assert_array_equal(target[1:], 2.5 * long[1:])
    assert target[0] == 0


def test_data_pointer_of_a_view_is_its_first_element(arrays, access):
    x, y, out = arrays
    program = Program([add(External(0), External(1), External(2), end=2)], arrays=3)
    program(x[3:], y, out)
    np.testing.assert_array_equal(out[:2], x[3:] + y[:2])


def test_bound_arrays_are_left_out_of_calls(arrays, access):
    x, y, out = arrays
    program = Program([add(External(0), External(1), External(2))], arrays=3)
    program.bind(1, y)
    assert program.unbound == [0, 2]
    program(x, out)
    np.testing.assert_array_equal(out, x + y)
    program.bind(0, y)
    program(out)
    np.testing.assert_array_equal(out, 2 * y)
    program.bind(1, x)
    program(out)
    np.testing.assert_array_equal(out, x + y)
    with pytest.raises(IndexError, match="slot 3"):
        program.bind(3, x)


def test_bound_array_is_kept_alive():
    program = Program([scale(External(0), 1.0, External(1))], arrays=2)
    program.bind(0, np.full(N, 3.0))
    out = np.zeros(N)
    program(out)
    assert out.tolist() == [3.0] * N


def test_status_stops_the_program(arrays, access):
    x, y, out = arrays
    program = Program(
        [check(External(0)), check(External(1)), scale(External(0), 1.0, External(2))], arrays=3
    )
    assert program(x, y, out) == 0
    out[:] = 0
    y[3] = -1
    assert program(x, y, out) == 2
    assert program.status == 13
    assert not out.any()
    x[0] = -1
    assert program(x, y, out) == 1
    assert program(np.ones(N), np.ones(N), out) == 0
    assert program.status == 0


@pytest.mark.parametrize("bad", [
    (), (np.zeros(N),), (np.zeros(N), 1), (np.zeros(N), np.zeros(N)),
    (1.0, np.zeros(N)), ([1.0], 1.0), (np.zeros(N), 1.0, 2.0),
])  # fmt: skip
def test_wrong_arguments_are_refused(bad, access):
    program = Program([scale(External(0), ScalarSlot(0), External(0))], arrays=1, scalars=1)
    with pytest.raises(TypeError, match="expected 1 ndarrays and 1 floats"):
        program(*bad)
    x = np.ones(N)
    assert program(x, 2.0) == 0
    assert x[0] == 2


@pytest.mark.parametrize("instruction, message", [
    (scale(External(2), 1.0, External(0)), "slot 2"),
    (scale(External(0), ScalarSlot(0), External(0)), "scalar 0"),
    (scale(External(0), 1.0, Arena(100)), "offset 100"),
])  # fmt: skip
def test_references_to_nothing_are_refused(instruction, message):
    with pytest.raises(IndexError, match=message):
        Program([instruction], arrays=1, arena=64)


def test_empty_program():
    assert Program([])() == 0


def test_host_calls_between_native_rows(arrays):
    x, y, out = arrays
    seen = []

    def cumsum(values, factor):
        seen.append(values.copy())
        return np.cumsum(values) * factor

    middle = Layout.contiguous(Arena(0), (N,), dtypes.float64)
    after = Layout.contiguous(Arena(64), (N,), dtypes.float64)
    program = Program(
        [
            add(External(0), External(1), Arena(0)),
            HostCall("cumsum", cumsum, (middle, ScalarSlot(0)), (after,)),
            add(Arena(64), External(1), External(2)),
            check(External(1)),
            HostCall("nothing", lambda: (), (), ()),
        ],
        arrays=3, scalars=1, arena=128,
    )  # fmt: skip
    program.bind(1, y)
    assert program(x, out, 2.0) == 0
    np.testing.assert_array_equal(seen[0], x + y)
    np.testing.assert_array_equal(out, 2 * np.cumsum(x + y) + y)
    y[0] = -1
    assert program(x, out, 2.0) == 4
    with pytest.raises(TypeError, match="expected 2 ndarrays"):
        program(x)


def test_host_call_on_strided_arguments_and_two_outputs():
    matrix = np.arange(12.0).reshape(3, 4)
    out = np.zeros((2, 3))
    inside = Layout(External(0, 8), (3, 2), (4, 2), dtypes.float64)
    rows = [Layout(External(1, 24 * i), (3,), (1,), dtypes.float64) for i in range(2)]
    program = Program([HostCall("T", lambda a: tuple(a.T), (inside,), tuple(rows))], arrays=2)
    program(matrix, out)
    np.testing.assert_array_equal(out, matrix[:, 1::2].T)


def test_error_in_a_host_call_leaves_the_program_usable():
    program = Program([HostCall("fail", lambda: 1 / 0, (), ())])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            program()


def test_denormals_are_flushed_inside_only():
    tiny = np.full(N, 2e-308)
    program = Program([Instruction("halve", float_kernel("halve"), (External(0),), 0, N)], arrays=1)
    program(tiny)
    if os.uname().machine == "x86_64":
        assert not tiny.any()
    assert np.all(np.full(N, 2e-308) * 0.5 > 0)


def test_views_of_the_arena():
    program = Program([scale(External(0), 2.0, Arena(64))], arrays=1, arena=128)
    program(np.arange(N) + 0.0)
    view = program.arena_view(Layout(Arena(64 + 8 * (N - 1)), (N,), (-1,), dtypes.float64))
    assert view.tolist() == [8.0, 6.0, 4.0, 2.0, 0.0]


def test_memory_is_aligned_and_accounted():
    scratch = Instruction("add", float_kernel("add"), (0, 0, 0, Scratch(100)), 0, 0)
    before = config.override("NUM_THREADS", 3)
    program = Program([scratch], arena=1000)
    assert program.memory == Memory(1000, 64 + 3 * 128, 8 * (4 + 6))
    assert program.memory.total == 1000 + 448 + 80
    assert program.image.arena.ctypes.data % 64 == 0
    assert len(program.image.arena) == 1000
    config.override("NUM_THREADS", before)


def test_profile_names_each_instruction(arrays):
    x, y, out = arrays
    program = Program(
        [
            add(External(0), External(1), Arena(0)),
            HostCall("host", lambda: (), (), ()),
            add(Arena(0), External(1), External(2)),
        ],
        arrays=3, arena=64,
    )  # fmt: skip
    timings = program.profile(x, y, out, repeats=2)
    assert [timing.instruction.name for timing in timings] == ["add", "host", "add"]
    assert all(0 <= timing.seconds < 0.1 for timing in timings)
    np.testing.assert_array_equal(out, x + 2 * y)


@pytest.mark.parametrize("with_host_call", [False, True])
def test_threads_take_turns(with_host_call, access):
    """The arena is shared state: calls must not overlap."""
    size = 20_000
    steps = [
        add(External(0), External(0), Arena(0), size),
        add(Arena(0), Arena(0), Arena(0), size),
        add(Arena(0), Arena(0), External(1), size),
    ]
    if with_host_call:
        steps.insert(1, HostCall("nothing", lambda: (), (), ()))
    program = Program(steps, arrays=2, arena=8 * size)
    wrong = []

    def work(value):
        x, out = np.full(size, value), np.zeros(size)
        for _ in range(100):
            program(x, out)
            if not np.all(out == 8 * value):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_busy_entry_says_so(arrays):
    x, y, out = arrays
    program = Program([add(External(0), External(1), External(2))], arrays=3)
    entry = program.entry
    assert entry(x, y, out) == 0
    (descriptor,) = program.image._descriptors
    descriptor[word.BUSY] = 1
    assert entry(x, y, out) == word.IS_BUSY
    threading.Timer(0.05, functools.partial(descriptor.__setitem__, word.BUSY, 0)).start()
    assert program(x, y, out) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_is_in_the_program():
    inside, leave = threading.Event(), threading.Event()

    def wait():
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            leave.wait(10)
        return ()

    program = Program([HostCall("wait", wait, (), ()), scale(External(0), 2.0, External(0))], 1)
    thread = threading.Thread(target=program, args=(np.ones(N),))
    thread.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        x = np.ones(N)
        os._exit(0 if program(x) == 0 and x[0] == 2 else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_gil_is_released():
    size, count = 100_000, 0
    program = Program([add(External(0), External(0), External(1), size)] * 500, arrays=2)
    x, out = np.ones(size), np.zeros(size)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (program(x, out), done.set()))
    thread.start()
    while not done.is_set():
        count += 1
    thread.join()
    assert count > 100


def test_layouts():
    full = Layout.contiguous(Arena(0), (2, 3, 4), dtypes.float32)
    assert full.strides == row_major((2, 3, 4)) == (12, 4, 1)
    assert full.is_contiguous and full.nbytes == 96 and full.ndim == 3
    assert not full.permute((0, 2, 1)).is_contiguous
    assert full.permute((2, 0, 1)).shape == (4, 2, 3)
    row = Layout.contiguous(Arena(0), (1, 4), dtypes.float32).expand((5, 3, 4))
    assert row.strides == (0, 0, 1)
    assert Layout(Arena(0), (1, 4), (77, 1), dtypes.float32).is_contiguous
    assert Layout(Arena(0), (0, 4), (1, 9), dtypes.float32).is_contiguous


def test_layout_of_an_array():
    array = np.zeros((3, 4), np.float32)[:, ::-2]
    assert layout(array, 0) == Layout(External(0), (3, 2), (4, -2), dtypes.float32)
