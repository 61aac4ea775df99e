"""Every public function, traced and eagerly: calls on new numbers, with the same generator.

Functions are called with whatever they accept of a list of operands, five times each. What a replay
gives is what eager code gives, the next state of the generator included; who cannot promise that
runs eagerly.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import graphjit as gj
from graphjit import config, nn

SPACES = {
    "graphjit": gj, "functional": nn.functional, "init": nn.init, "utils": nn.utils,
    "Tensor": gj.Tensor,
}  # fmt: skip
#: What changes the settings of the process, or gives what nobody has set: memory, addresses.
LEFT_OUT = frozenset(
    "compile data_ptr empty empty_like empty_strided enable_grad fork_rng get_rng_state "
    "inference_mode initial_seed load manual_seed new new_empty no_grad save seed "
    "set_default_dtype set_grad_enabled set_num_threads set_printoptions set_rng_state "
    "trace".split()
)
#: Calls of one function with different kinds of operands.
KINDS = 4


def floats(*shape):
    return lambda rng: gj.from_numpy(rng.uniform(0.1, 0.9, shape).astype(np.float32))


def doubles(*shape):
    return lambda rng: gj.from_numpy(rng.uniform(0.1, 0.9, shape))


def places(*shape):
    return lambda rng: gj.from_numpy(rng.integers(0, 3, shape))


def bools(*shape):
    return lambda rng: gj.from_numpy(rng.random(shape) < 0.5)


M = floats(4, 4)
OPERANDS = [
    (M,), (M, M), (M, 2), (M, 1), (M, 0, places(4, 4)), (M, places(4)), (M, floats(4)),
    (places(4, 4),), (bools(4, 4),), (floats(4),), (floats(4), floats(4)), (places(4),),
    (floats(2, 4, 6, 6),), (floats(2, 4, 6, 6), 2), (floats(2, 4, 6),), (floats(2, 4, 6), 2),
    (M, M, M), (floats(2, 4, 6, 6), floats(3, 4, 2, 2)), (floats(2, 4, 6), floats(3, 4, 2)),
    (M, 0.5), (M, (4,)), (bools(4, 4), M, M), (M, bools(4, 4)), (M, 0, 1), (M, bools(4, 4), 0.5),
    ([M, M],), (places(4), places(4)), (floats(3, 4, 4), floats(3, 4, 4)), (doubles(4, 4),),
    (5,), (3, 4), (M, 0, places(3), floats(3, 4)), (M, 0, places(4, 4), M), (M, -1),
    (bools(4, 4), bools(4, 4)), (places(4, 4), 2), (M, places(4), floats(4)), (M, M, floats(4)),
    (places(4), floats(5, 3)), (floats(3, 2, 4), floats(4), floats(4)),
]  # fmt: skip


def made(operand, rng):
    if callable(operand):
        return operand(rng)
    return [made(item, rng) for item in operand] if isinstance(operand, list) else operand


def seen(value):
    """The arrays and numbers in a result."""
    if isinstance(value, gj.Tensor):
        return [value.detach().numpy().copy()]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in seen(item)]
    return [value]


def outcome(function, operands):
    """Results, operands and the generator after five calls on new numbers."""
    rng = np.random.default_rng(0)
    gj.manual_seed(5)
    found = []
    for _ in range(5):
        args = [made(operand, rng) for operand in operands]
        try:
            found.append(seen(function(*args)) + seen(args))
        except Exception as error:  # noqa: BLE001  (both worlds must raise it)
            found.append([f"{type(error).__name__}: {error}".splitlines()[0]])
    return [*found, seen(gj.get_rng_state())]


def alike(a, b):
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        kinds = a.dtype == b.dtype and a.shape == b.shape
        return kinds and np.allclose(a, b, 1e-4, 1e-5, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, 1e-4, 1e-5, equal_nan=True))
    return type(a) is type(b) and (a == b or not isinstance(a, (int, str)))


def same(mine, other):
    return all(
        len(a) == len(b) and all(map(alike, a, b)) for a, b in zip(mine, other, strict=True)
    )


def accepts(function, operands):
    rng = np.random.default_rng(0)
    gj.manual_seed(0)
    try:
        function(*(made(operand, rng) for operand in operands))
    except Exception:  # noqa: BLE001  (whatever it says, it was not meant for these)
        return False
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("space", SPACES)
def test_every_function(monkeypatch, space):
    """`nn.init.trunc_normal_` and `complex` gave the numbers of the recording again and again."""
    monkeypatch.setitem(config._overrides, "BACKEND", "interp")
    differing, count = [], 0
    for name in dir(SPACES[space]):
        function = getattr(SPACES[space], name)
        if name.startswith("_") or name in LEFT_OUT or not callable(function):
            continue
        if isinstance(function, type):
            continue
        known = (operands for operands in OPERANDS if accepts(function, operands))
        for operands in itertools.islice(known, KINDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                traced = gj.trace(lambda *args, function=function: function(*args))
                count += 1
                if not same(outcome(function, operands), outcome(traced, operands)):
                    differing.append((name, OPERANDS.index(operands), traced.eager_reason))
    assert not differing
    assert count > 20
