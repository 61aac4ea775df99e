"""A few hundred random programs, eagerly and traced; `python -m tests.fuzz` runs more."""

import pytest

from tests.fuzz.check import check
from tests.fuzz.generate import generate


@pytest.mark.parametrize(("depth", "seeds"), [
    ("interp", range(300)),
    ("kernels", range(10_000, 10_024)),
])
def test_random_programs_do_the_same_traced(depth, seeds):
    replayed = 0
    for seed in seeds:
        program = generate(seed)
        verdict = check(program, depth)
        replayed += verdict.replays > 0
        assert not verdict.mismatch or verdict.unstable, (
            f"{verdict.mismatch}\npython -m tests.fuzz --seed {seed} --depth {depth}\n"
            f"{program.text()}"
        )
    assert replayed > len(seeds) / 3
