"""Randomness

A traced function draws the very numbers that it would draw eagerly, bit by bit, and leaves the
generator where eager code would leave it, however eager and traced calls are mixed.
"""

import pytest

import graphjit as gj
from graphjit import config, nn

from .harness import traced, trap


@pytest.fixture(params=["interp", "kernels"], autouse=True)
def backend(request, monkeypatch, interpreted):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


SOURCES = {
    "rand": lambda x: gj.rand(5, dtype=x.dtype),
    "randn": lambda x: gj.randn(3, 2, dtype=x.dtype),
    "randint": lambda x: gj.randint(-3, 10, (5,)),
    "randperm": lambda x: gj.randperm(6),
    "normal": lambda x: gj.normal(x, x.abs() + 1),
    "normal of numbers": lambda x: gj.normal(0.3, 0.7, (9,), dtype=x.dtype),
    "uniform_": lambda x: x.clone().uniform_(-1.1, 3),
    "normal_": lambda x: x.clone().normal_(1, 2.3),
    "bernoulli": lambda x: gj.bernoulli(gj.full((6,), 0.3, dtype=x.dtype)),
    "bernoulli_": lambda x: x.clone().bernoulli_(0.4),
    "exponential_": lambda x: x.clone().exponential_(2.0),
    "multinomial": lambda x: gj.multinomial(x.abs() + 0.1, 3),
    "multinomial with replacement": lambda x: gj.multinomial(x.abs() + 0.1, 3, True),
    "rand_like": lambda x: gj.rand_like(x),
    "randn_like": lambda x: gj.randn_like(x),
    "random_": lambda x: x.clone().random_(0, 10),
    "dropout": lambda x: nn.functional.dropout(x + 1, 0.5),
}


@pytest.mark.parametrize("dtype", [gj.float32, gj.float64, gj.float16], ids=str)
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_of_random_numbers(source, dtype):
    """Each random function gives new numbers at each call, equal to the eager ones bit by bit."""
    draw = SOURCES[source]
    # The interpreter takes NumPy's logarithms, which differ in the last bit of a float64.
    exact = dtype is not gj.float64 or config.get_str("BACKEND") == "kernels"

    @trap(
        variants=1, replays=9, exact=exact, arguments=lambda n: ((gj.arange(4.0) + n).to(dtype),)
    )
    def test():
        return lambda x: (draw(x), draw(x))

    test()


FIRST_VALUES = {
    "trunc_normal_": lambda x: nn.init.trunc_normal_(x, 0.1, 0.5),
    "sparse_": lambda x: nn.init.sparse_(x, 0.3),
    "xavier_uniform_": lambda x: nn.init.xavier_uniform_(x),
    "kaiming_normal_": lambda x: nn.init.kaiming_normal_(x),
}


@pytest.mark.parametrize("init", FIRST_VALUES)
def test_first_values_of_parameters(init):
    """What `nn.init` fills a parameter with is drawn anew at each call."""
    fill = FIRST_VALUES[init]

    @trap(variants=1, replays=9, exact=True)
    def test():
        return lambda x: fill(gj.zeros(5, 4))

    test()


@trap(eager="numpy")
def test_first_values_by_numpy():
    """`nn.init.orthogonal_` decomposes a matrix in NumPy: the function runs eagerly."""
    return lambda x: nn.init.orthogonal_(gj.zeros(5, 4))


@trap(variants=1, exact=True)
def test_bits_of_uniform_numbers():
    """Uniform numbers, integers and permutations are equal in every bit."""
    return lambda x: (gj.rand(100), gj.randint(0, 1000, (50,)), gj.randperm(20))


@trap(variants=1)
def test_seeds_set_between_calls():
    """`manual_seed`, `get_rng_state` and `set_rng_state` between calls have their effect."""
    states = [gj.get_rng_state()]

    def change(n):
        if n % 2:
            gj.manual_seed(n)
            states.append(gj.get_rng_state())
        else:
            gj.set_rng_state(states[n // 2])

    return lambda x: x + gj.rand(4), change


@trap(variants=1)
def test_eager_draws_between_calls():
    """Numbers drawn eagerly between calls, by any function, move the traced stream on."""

    def change(n):
        gj.rand(n)
        gj.randperm(3)

    return lambda x: nn.functional.dropout(x, 0.5) + gj.randn(4), change


@trap(variants=1)
def test_generators_of_their_own():
    """A generator that is passed is the one drawn from, and moves on; others do not."""
    generator = gj.Generator()
    generator.manual_seed(3)

    def change(n):
        generator.manual_seed(n) if n % 2 else gj.rand(2, generator=generator)

    return lambda x: gj.rand(4, generator=generator) + gj.rand(4), change


@trap(variants=2)
def test_two_functions_that_share_a_generator():
    """Traced functions that draw from one generator take turns as eager ones do."""
    first, second = traced(lambda x: x + gj.rand(4)), traced(lambda x: x * gj.randn(4))

    return lambda x: (first(x), second(x), first(x), gj.rand(2))


@trap(calls=20)
def test_numbers_that_decide():
    """A branch on a random number is taken as eagerly, and the generator is left as eagerly."""

    def step(x):
        if gj.rand(()) < 0.5:
            return x + gj.rand(4)
        return x - gj.randn(2, 2).sum()

    return step


@trap(variants=1)
def test_dropout_in_forward_and_backward():
    """Backward uses the mask of the forward it belongs to."""
    weight = gj.ones(8, requires_grad=True)

    def step(x):
        weight.grad = None
        y = nn.functional.dropout(weight * 3, 0.5)
        y.sum().backward()
        return y.detach(), weight.grad

    return step


@trap
def test_the_probability_of_dropout():
    """A dropout probability that changes is used, also when it becomes 0 or 1."""
    layer = nn.Dropout(0.5)

    def change(n):
        layer.p = (0.0, 0.3, 1.0, 0.5)[n - 1]

    return lambda x: layer(x.repeat(10)), change


@trap(variants=1)
def test_reseeding_does_not_record():
    """The seed is no part of a recording: another one compiles nothing."""

    def change(n):
        gj.manual_seed(1 << (15 * n))

    return lambda x: gj.rand(3) + gj.rand(3), change


@trap(eager="seed|state")
def test_seeding_inside():
    """A function that seeds the generator itself runs eagerly."""

    def step(x):
        gj.manual_seed(1)
        return x + gj.rand(4)

    return step


@trap(eager="initial_seed")
def test_what_a_generator_says():
    """A seed that the function reads is the one of this call."""

    def change(n):
        gj.manual_seed(n)

    return lambda x: x + gj.initial_seed() % 100, change


def test_any_number_of_threads(kernels):
    """The numbers do not depend on how many threads compute them."""
    results = []
    before = config.get("NUM_THREADS")
    try:
        for threads in (1, 2, 3):
            config.override("NUM_THREADS", threads)
            gj.manual_seed(0)
            step = gj.trace(lambda x: (gj.rand(70000), gj.randn(300, 300).sum(1)))
            results.append([r.numpy().tobytes() for _ in range(3) for r in step(gj.ones(1))])
    finally:
        config.override("NUM_THREADS", before)
    assert results[0] == results[1] == results[2]
