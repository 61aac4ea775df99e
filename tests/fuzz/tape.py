"""Programs about the tape across replays: short functions, and much that happens to what they gave.

After a few calls come gradients of anything with respect to anything, hooks, and writes that are
told or are not. All tensors have two rows and columns, so that most ops fit; what does not fit
raises in both runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .grammar import templates
from .program import Call, Program

SETUP = (
    "h0, g0 = Holder(), [None, None]",
    "a1, c0 = T.tensor([[0.6, 0.2], [0.7, 0.4]]), T.tensor([[1.0, -2.0], [0.5, 3.0]])",
    "p0 = T.tensor([[0.5, 0.7], [1.1, 0.3]], requires_grad=True)",
    "p1 = T.tensor([[1.5, 0.2], [0.4, 0.6]])",
    "m0, m1 = nn.Linear(2, 2), nn.BatchNorm1d(2)",
    "for i, q in enumerate(m0.parameters()): q.data = data(i, q.shape)",
)
HOLDER = "class Holder: value = None"
#: what the first argument is, a leaf or not
FIRST = ("T.tensor([[0.3, 0.9], [0.8, 0.1]])", "T.tensor([[0.3, 0.9], [0.8, 0.1]]) * 1",
         "T.tensor([[0.3, 0.9], [0.8, 0.1]], requires_grad=True)",
         "T.tensor([[0.3, 0.9], [0.8, 0.1]], requires_grad=True) * 1")  # fmt: skip
HELPERS = """\
{}def f0(u, w=None):
    return u.cos() * 2 if w is None else (u.tanh() + w.sum(), u)[0]
def f1(u):
    return (u.sin() * p0).exp()
class Cube(T.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return u ** 3
    @staticmethod
    def backward(ctx, g):
        return g * 3 * ctx.saved_tensors[0] ** 2"""

#: `{}` is a tensor
OPS = templates("""
{} * {} | {} + {} | {}.exp() | {}.sin() | {} * 2 | {}.view(-1) | {}.t() | {}[0] | {}.sum() | {} * c0
{}.tanh() | {}.detach() | {}.clone() | {}.relu() | {} @ {} | {}.unsqueeze(0) | {}.sigmoid()
{} / {} | {}[None].expand(2, 2, 2) | {}.sum(0) | {}.reshape(-1) | -{} | {}.pow(2) | {}.data
{}.data * {} | {}[:1] | {}.flip(0) | T.where(c0 > 0, {}, {}) | {}.unbind(0)[0] | {}.chunk(2)[0]
{}.mT | {}.softmax(-1) | {}.logsumexp(0) | {}.max(0)[0] | {}.prod() | {}.abs() | f0({}) | f0({}, {})
Cube.apply({}) | T.utils.checkpoint.checkpoint(f1, {}, use_reentrant=False) | m1({}) | m0({})
T.cat([{}, {}]) | T.stack([{}, {}]) | {}.cumsum(0) | {}.float() | {}.T | {}.squeeze() | {}.std()
T.maximum({}, {}) | {}.norm() | {}.index_select(0, T.tensor([1, 0])) | {}.masked_fill(c0 > 0, 0.5)
{}.round() | ({} > 0.5) * {} | {}.roll(1) | h0.value * {} | {}.amax(0) | {}.amin(1) | {}.amax(1).t()
{}.amax(1, keepdim=True) | {}.exp().t() | {}.sigmoid().view(-1) | {}.cumprod(0) | {}.std(0)
{}.reciprocal() | {}.sqrt() | {}.tanh().T | {}.softmax(0)[0] | {}.cummax(0)[0] | {}.sort(0)[0]
{}.gather(0, T.tensor([[0, 1]])) | {}.norm(dim=0) | {}.lerp({}, 0.3) | T.addmm({}, {}, {})
{}.expand(3, 2, 2) | {}.swapaxes(0, -1) | {}.rsqrt() | {}.erf() | F.layer_norm({}, (2,))
F.gelu({}) | {}.log_softmax(0) | {}.diagonal() | {}.tril() | T.einsum('ij,jk->ik', {}, {})
{}.var(0) | F.mse_loss({}, {}) | {}.pow({}) | {}.atan2({}) | {}.exp().unsqueeze(0)
""")
WRITES = templates("""
{}.mul_(2) | {}.add_({}) | {}.exp_() | {}[0] = 0.5 | {}.data.mul_(2) | {}.zero_() | {}.sin_()
{}.copy_({})
""")
#: what else a function does
ACTS = templates("""
({} * 1).sum().backward() | {}.sum().backward() | h0.value = {} | {}.register_hook(lambda g: g * 2)
{}.requires_grad_() | {}.requires_grad_(False)
""")
GRADIENTS = templates("""
T.autograd.grad({}.sum(), {}, retain_graph=True)[0]
T.autograd.grad({}.sum(), {}, create_graph=True)[0]
""")
#: what happens between and after calls; `g0` has the last gradients
CHANGES = templates("""
{}.sum().backward() | {}.sum().backward(retain_graph=True) | ({} * {}).sum().backward()
{}.sum().backward(retain_graph=True)
g0 = T.autograd.grad({}.sum(), [{}, {}], allow_unused=True, retain_graph=True)
g0 = T.autograd.grad({}.sum(), [{}, {}], allow_unused=True)
g0 = T.autograd.grad({}.sum(), [{}, {}], allow_unused=True, create_graph=True)
g0 = T.autograd.grad({}.sum(), {}, create_graph=True)
g0[0].sum().backward() | g0[-1].sum().backward(retain_graph=True)
g0 = T.autograd.grad(g0[0].sum(), {}, allow_unused=True)
{}.register_hook(lambda g: g * 2) | {}.retain_grad() | {}.requires_grad_()
{}.requires_grad_(False)
with T.no_grad(): {}.mul_(0.5) | with T.no_grad(): {}.zero_() | {}.data.add_(1) | {}.mul_(2)
{}.data = {}.detach() * 2 | {}.data.neg_() | {}.add_({}) | p0.data = T.ones(1, 2)
""")
CALLS = ("step(a0, a1)",) * 8 + ("step(a0, a0)", "step(p0, a1)", "step(a1, a0)", "step(a0[:], a1)",
         "step(a0, p0.data)", "step(p0.view(2, 2), a1)", "step(c0, a1)")  # fmt: skip


def tape_program(seed: int) -> Program:
    """Program number `seed`."""
    rng = random.Random(seed)
    traced = "@trace\n" if rng.random() < 0.3 else ""
    first = f"a0 = {rng.choice(FIRST)}"
    more = ("p1.requires_grad_()",) if rng.random() < 0.5 else ()
    setup = (HOLDER, *SETUP, *more, first, HELPERS.format(traced))
    names, body = ["p0", "p1", "x", "y"], []
    for number in range(rng.randint(1, 6)):
        body.append(_statement(rng, f"v{number}", names))
    returns = tuple(rng.choice(names[2:]) for _ in range(rng.randint(1, 3)))
    return Program(seed, setup, "x, y", tuple(body), returns, _calls(rng, len(returns)), "[{}]")


def _statement(rng: random.Random, new: str, names: list[str]) -> str:
    """A statement of the function; the last tensors are its operands more often than others."""

    def tensor() -> str:
        return rng.choice(names[-4:] if rng.random() < 0.6 else names)

    luck = rng.random()
    if luck < 0.1:
        return _filled(rng.choice(WRITES), tensor)
    if luck < 0.2:
        return _filled(rng.choice(ACTS), tensor)
    value = _filled(rng.choice(GRADIENTS if luck < 0.26 else OPS), tensor)
    names.append(new)
    return f"with T.no_grad(): {new} = {value}" if luck > 0.97 else f"{new} = {value}"


def _calls(rng: random.Random, results: int) -> tuple[Call, ...]:
    """Four calls, and then changes, with few calls among them."""

    def tensor() -> str:
        result = f"r{rng.randint(0, 3)}[{rng.randrange(results)}]"
        other = rng.choice(("p0", "p1", "a0", "a1", "h0.value", "c0", "m0.weight"))
        return result if rng.random() < 0.5 else other

    call = rng.choice(CALLS)
    calls = []
    for number in range(4):
        early = number > 1 and rng.random() < 0.15
        changes = (_filled(rng.choice(CHANGES), tensor),) if early else ()
        calls.append(Call(changes, call, no_grad=rng.random() < 0.05))
    for _ in range(rng.randint(2, 8)):
        change = _filled(rng.choice(CHANGES), tensor)
        calls.append(Call((change,), call if rng.random() < 0.2 else "r3"))
    return tuple(calls)


def _filled(template: str, tensor: Callable[[], str]) -> str:
    """`template` with a tensor for each `{}`."""
    while "{}" in template:
        template = template.replace("{}", tensor(), 1)
    return template
