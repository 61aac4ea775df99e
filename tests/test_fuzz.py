"""Random programs, eagerly and traced, as many as fit; `python -m tests.fuzz` runs more."""

import gc

import numpy as np
import pytest

import graphjit as gj
from graphjit import config
from tests.fuzz.check import check
from tests.fuzz.compare import differences
from tests.fuzz.data import noise, noise_in_replays
from tests.fuzz.execute import Observation, Outcome, Seen
from tests.fuzz.generate import generate
from tests.fuzz.tape import tape_program

#: (generator, depth, first seed, number of programs): 2,000 by the interpreter, 200 by kernels, and
#: 400 about the tape
CHUNKS = [(generate, "interp", seed, 200) for seed in range(0, 2000, 200)]
CHUNKS += [(generate, "kernels", seed, 50) for seed in range(10_000, 10_200, 50)]
CHUNKS += [(tape_program, "interp", seed, 200) for seed in (0, 200)]


@pytest.fixture(autouse=True)
def frozen():
    """What is loaded by now is not looked through again at every recording."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(("make", "depth", "first", "count"), CHUNKS)
def test_random_programs_do_the_same_traced(make, depth, first, count):
    replayed = 0
    for seed in range(first, first + count):
        program = make(seed)
        verdict = check(program, depth)
        replayed += verdict.replays > 0
        assert not verdict.mismatch or verdict.unstable, (
            f"{verdict.mismatch}\npython -m tests.fuzz --seed {seed} --depth {depth}"
            f"{' --tape' * (make is tape_program)}\n"
            f"{program.text()}"
        )
    assert replayed > count / 3


def test_noise_is_in_random_numbers_too():
    """A sum of random numbers that was rounded in another way counted as a mismatch."""

    def drawn():
        gj.manual_seed(0)
        return gj.cat([gj.rand(99), gj.randn(99)])

    exact = drawn()
    with noise(1):
        off = drawn()
    assert not gj.equal(off, exact) and gj.allclose(off, exact)
    assert gj.equal(drawn(), exact)


def test_noise_that_is_tolerated_explains_mismatches():
    """Inputs off by float32's last bits hid how far they move what is float64."""

    def outcome(factor):
        arrays = {name: np.array([factor], name) for name in ("float32", "float64")}
        values = {name: Seen(array, name, False, True) for name, array in arrays.items()}
        return Outcome([Observation(values=values)])

    exact, noisy = outcome(1.0), outcome(1 + 1e-6)
    assert not list(differences(exact, noisy))
    moved = {found.path: found.size for found in differences(exact, noisy, rounding=True)}
    assert moved["float64"] == pytest.approx(1e-6)


def test_noise_is_in_what_replays_compute(monkeypatch):
    """A gradient divided by another call's tells how both were rounded; inputs off do not."""
    monkeypatch.setitem(config._overrides, "BACKEND", "interp")

    @gj.trace
    def total(x):
        return x.sum(), x.relu()

    x = gj.arange(9.0)
    total(x)
    sums, others = set(), set()
    for seed in range(20):
        with noise_in_replays(seed):
            found, same = total(x)
        sums.add(found.item())
        others.add(tuple(same.tolist()))
    assert len(sums) > 2 and all(abs(found - 36) < 1e-3 for found in sums)
    assert others == {tuple(x.tolist())}
    assert total(x)[0].item() == 36
