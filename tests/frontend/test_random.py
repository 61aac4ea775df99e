"""Random numbers: reproducible, of the right distribution, and counted by the generator."""

import numpy as np
import pytest

import graphjit as gj


def test_fork_rng_in_a_traced_function():
    """Numbers drawn in a replay after `fork_rng` were those of another place of the stream."""

    def function(x):
        with gj.random.fork_rng():
            y = x + gj.rand(7)
        return y * gj.rand(7), gj.rand(7)

    traced, found = gj.trace(function), []
    for run in (function, traced):
        gj.manual_seed(0)
        found.append([[v.tolist() for v in run(gj.ones(7))] for _ in range(4)])
    assert found[0] == found[1] and traced.stats()["replays"] == 3


def test_equal_seeds_give_equal_numbers():
    draws = []
    for _ in range(2):
        gj.manual_seed(7)
        draws.append([gj.rand(5), gj.randn(3, 3), gj.randint(0, 100, (4,)), gj.randperm(9),
                      gj.normal(gj.zeros(4), 2.0), gj.bernoulli(gj.full((6,), 0.5)),
                      gj.empty(5).uniform_(-1, 1), gj.rand_like(gj.ones(2, dtype=gj.float64)),
                      gj.multinomial(gj.tensor([0.1, 0.9]), 5, replacement=True)])  # fmt: skip
    for first, second in zip(*draws, strict=True):
        assert first.equal(second)
    gj.manual_seed(8)
    assert not gj.rand(5).equal(draws[0][0])


def test_draws_differ_from_one_another():
    gj.manual_seed(0)
    seen = [tuple(gj.rand(3).tolist()) for _ in range(50)]
    assert len(set(seen)) == 50


def test_state_goes_back():
    gj.manual_seed(3)
    gj.rand(7)
    state = gj.get_rng_state()
    first = gj.rand(5)
    gj.set_rng_state(state)
    assert gj.rand(5).equal(first)
    assert gj.initial_seed() == 3
    with gj.random.fork_rng():
        gj.manual_seed(99)
        gj.rand(3)
    gj.set_rng_state(state)
    with gj.random.fork_rng():
        gj.rand(100)
    assert gj.rand(5).equal(first)


def test_generators_are_apart():
    one, two = gj.Generator().manual_seed(1), gj.Generator().manual_seed(1)
    gj.manual_seed(5)
    before = gj.get_rng_state()
    assert gj.rand(4, generator=one).equal(gj.rand(4, generator=two))
    assert not gj.rand(4, generator=one).equal(gj.rand(3, generator=two))
    assert gj.get_rng_state().equal(before)
    two.set_state(one.get_state())
    assert gj.randn(4, generator=one).equal(gj.randn(4, generator=two))
    assert one.seed() == one.initial_seed()


@pytest.mark.parametrize(("n", "dtype", "blocks"), [
    (1, gj.float32, 1), (4, gj.float32, 1), (5, gj.float32, 2), (3, gj.float64, 2),
    (0, gj.float32, 0),
])  # fmt: skip
def test_a_draw_moves_the_offset_on(n, dtype, blocks):
    """Four 32-bit words to a block; an element takes one, or two in float64."""
    generator = gj.Generator()
    gj.rand(n, dtype=dtype, generator=generator)
    assert generator.offset == blocks


def test_moments():
    gj.manual_seed(0)
    n = 200_000
    uniform, normal = gj.rand(n), gj.randn(n)
    assert abs(uniform.mean().item() - 0.5) < 0.005
    assert abs(uniform.var().item() - 1 / 12) < 0.002
    assert 0 <= uniform.min().item() < uniform.max().item() < 1
    assert abs(normal.mean().item()) < 0.01
    assert abs(normal.std().item() - 1) < 0.01
    assert abs(gj.normal(2.0, 3.0, (n,)).std().item() - 3) < 0.03
    assert abs(gj.empty(n).exponential_(2.0).mean().item() - 0.5) < 0.01
    assert abs(gj.empty(n).bernoulli_(0.3).mean().item() - 0.3) < 0.005
    assert abs(gj.bernoulli(gj.full((n,), 0.8)).mean().item() - 0.8) < 0.005
    assert abs(gj.empty(n).geometric_(0.25).mean().item() - 4) < 0.05


def test_integers():
    gj.manual_seed(0)
    drawn = gj.randint(-3, 4, (10_000,))
    assert set(drawn.unique().tolist()) == set(range(-3, 4))
    counts = (drawn + 3).bincount()
    assert (counts - 10_000 / 7).abs().max().item() < 150
    assert gj.randint(5, (3,), dtype=gj.int32).dtype is gj.int32
    assert gj.randint(high=5, size=(3,)).shape == (3,)
    assert gj.randint_like(gj.zeros(3), 2).dtype is gj.float32


def test_permutations():
    gj.manual_seed(0)
    order = gj.randperm(1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))
    assert gj.randperm(0).shape == (0,)


def test_weighted_choice():
    gj.manual_seed(0)
    weights = gj.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 1.0]])
    drawn = gj.multinomial(weights, 4000, replacement=True)
    assert not (drawn[0] == 2).any()
    assert abs((drawn[0] == 1).float().mean().item() - 0.75) < 0.03
    few = gj.multinomial(weights, 2)
    assert sorted(few[0].tolist()) == [0, 1]
    assert sorted(few[1].tolist()) == [1, 2]


def test_in_place_draws():
    x = gj.empty(1000)
    assert x.normal_(1.0, 0.1) is x
    assert abs(x.mean().item() - 1) < 0.02
    assert (x.uniform_(2, 3) >= 2).all()
    assert (gj.empty(50, dtype=gj.int64).random_(3) < 3).all()
    assert gj.empty(10).log_normal_().min().item() > 0
    assert np.isfinite(gj.empty(10).cauchy_().numpy()).all()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        gj.ones(2, requires_grad=True).normal_()


FILLS = {"geometric_": (0.5,), "bernoulli_": (0.5,), "random_": (5,)}
FILLS |= dict.fromkeys(("uniform_", "normal_", "log_normal_", "exponential_", "cauchy_"), ())


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("trace", [False, True])
def test_what_is_overwritten_with_random_numbers_stays_on_the_tape(fill, trace):
    """A random method took its tensor off the tape, where PyTorch gives a gradient of zeros."""

    def gradients(t, traced):
        p = t.ones(3, requires_grad=True)

        def step():
            whole, part = p * 2, p * 3
            for tensor in (whole, part[1:]):
                getattr(tensor, fill)(*FILLS[fill])
            return (whole.sum() + part.sum() + (p * p).sum()), whole

        result, whole = (gj.trace(step) if traced else step)()
        result.backward()
        return [*p.grad.tolist(), whole.requires_grad]

    torch = pytest.importorskip("torch")
    assert gradients(gj, trace) == gradients(torch, False)
