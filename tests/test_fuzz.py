"""Random programs, eagerly and traced, as many as fit; `python -m tests.fuzz` runs more."""

import gc

import pytest

from tests.fuzz.check import check
from tests.fuzz.generate import generate

#: (depth, first seed, number of programs): 2,000 by the interpreter, 200 by kernels
CHUNKS = [("interp", seed, 200) for seed in range(0, 2000, 200)]
CHUNKS += [("kernels", seed, 50) for seed in range(10_000, 10_200, 50)]


@pytest.fixture(autouse=True)
def frozen():
    """What is loaded by now is not looked through again at every recording."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(("depth", "first", "count"), CHUNKS)
def test_random_programs_do_the_same_traced(depth, first, count):
    replayed = 0
    for seed in range(first, first + count):
        program = generate(seed)
        verdict = check(program, depth)
        replayed += verdict.replays > 0
        assert not verdict.mismatch or verdict.unstable, (
            f"{verdict.mismatch}\npython -m tests.fuzz --seed {seed} --depth {depth}\n"
            f"{program.text()}"
        )
    assert replayed > count / 3
