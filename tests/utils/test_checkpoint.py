"""Checkpointed calls: the gradients of the plain call, from a tape that keeps next to nothing."""

import gc
import warnings
import weakref

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn
from graphjit.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    noop_context_fn,
)

try:
    import torch
    import torch.utils.checkpoint
except ImportError:
    torch = None  # parity tests are skipped

pytestmark = pytest.mark.filterwarnings("error")
BOTH = pytest.mark.parametrize("use_reentrant", [False, True])


def plainly(function, *args, use_reentrant=None, **kwargs):
    """What stands where `checkpoint` might."""
    return function(*args, **kwargs)


#: programs over the library `t`, with `ck` for `checkpoint`; the last line is a list of tensors
PROGRAMS = {
    "layers": """
net = t.nn.Sequential(*[t.nn.Sequential(t.nn.Linear(4, 4), t.nn.Tanh()) for _ in range(3)])
x = vector(5, 4)
h = x
for block in fill(net):
    h = ck(block, h, use_reentrant=mode)
h.pow(2).sum().backward()
[h, x.grad, *[p.grad for p in net.parameters()]]
""",
    "several tensors": """
x, y = vector(3), vector(3)
a, b = ck(lambda x, y: (x * y.exp(), (x - y).sin()), x, y, use_reentrant=mode)
(a.sum() * x.sum() + (b * a).sum()).backward()
[a, b, x.grad, y.grad]
""",
    "arguments that are no tensors": """
x = vector(3)
y = ck(lambda x, n, text, none: x * n if text == "times" and none is None else x, x, 3, "times",
       None, use_reentrant=mode)
y.sum().backward()
[y, x.grad]
""",
    "an output of no floats, and one that is an input": """
x = vector(4)
y, index, same = ck(lambda x: (x.tanh(), x.argmax(), x), x, use_reentrant=mode)
(y[index] + same.sum()).backward()
[y, index, x.grad]
""",
    "one of two outputs is left alone": """
x = vector(4)
y, z = ck(lambda x: (x.tanh(), x.exp()), x, use_reentrant=mode)
z.sum().backward()
[x.grad]
""",
    "within one another": """
x = vector(3)
inner = lambda x: ck(t.sin, x * 2, use_reentrant=mode) + x
y = ck(lambda x: inner(x).exp() * x, x, use_reentrant=mode)
y.sum().backward()
[y, x.grad]
""",
    "twice": """
x = vector(3)
y = ck(t.sin, x, use_reentrant=mode)
y.sum().backward(retain_graph=True)
y.pow(2).sum().backward()
[x.grad]
""",
}
#: what PyTorch takes without `use_reentrant` only
FREE_PROGRAMS = {
    "keywords and containers": """
x, y, z = vector(3), vector(3), vector(3)
out = ck(lambda pair, *, named: {"sum": pair[0] + named["z"], "rest": [pair[1].exp()]}, (x, y),
         named={"z": z}, use_reentrant=mode)
(out["sum"].pow(3).sum() + out["rest"][0].sum()).backward()
[x.grad, y.grad, z.grad]
""",
    "tensors that the function reaches by itself": """
x, w = vector(3), vector(3)
hidden = w.exp()
y = ck(lambda x: x * hidden * w, x.detach(), use_reentrant=mode)
y.sum().backward()
[y, w.grad]
""",
    "gradients of gradients": """
x, w = vector(3), vector(3)
y = ck(lambda x: (x * w).sin(), x, use_reentrant=mode).sum()
g, = t.autograd.grad(y, x, create_graph=True)
g.pow(2).sum().backward()
[g, x.grad, w.grad]
""",
    "gradients of some inputs": """
x, y = vector(3), vector(3)
out = ck(lambda x, y: x * y.sin(), x, y, use_reentrant=mode)
g, = t.autograd.grad(out.sum(), y)
[g, x.grad is None]
""",
    "gradients of an intermediate": """
x = vector(3)
h = ck(t.sin, x, use_reentrant=mode)
y = ck(t.exp, h, use_reentrant=mode)
g, = t.autograd.grad(y.sum(), h)
[g]
""",
    "a penalty inside": """
def penalty(x):
    inner = x.detach().requires_grad_()
    slope, = t.autograd.grad((inner ** 3).sum(), inner, create_graph=True)
    return (x * slope).sum()
x = vector(3)
ck(penalty, x, use_reentrant=mode).backward()
[x.grad]
""",
    "views, written to afterwards": """
x = vector(4)
h = x * 2
a, b = ck(lambda h: (h.sin() + h).chunk(2), h, use_reentrant=mode)
c = ck(lambda h: h.view(2, 2), h, use_reentrant=mode)
d = ck(lambda h: h.cos().reshape(2, 2), h, use_reentrant=mode)
d.mul_(3)
(a * b).sum().backward(retain_graph=True)
(c * d).sum().backward()
[x.grad]
""",
    "hooks": """
seen = []
x = vector(3)
def inner(x):
    y = x.sin()
    y.register_hook(lambda g: seen.append(g * 1))
    return y * 2
x.register_hook(lambda g: g * 3)
y = ck(inner, x, use_reentrant=mode)
y.retain_grad()
y.register_hook(lambda g: g * 5)
y.pow(2).sum().backward()
[x.grad, y.grad, *seen]
""",
}


def vector_of(library):
    """`vector(*shape)`: new leaves of which the library makes no difference."""
    rng = np.random.default_rng(0)

    def vector(*shape):
        return library.tensor(rng.uniform(-1, 1, shape).astype(np.float32)).requires_grad_()

    return vector


def fill_of(library):
    """`fill(module)`: parameters of which the library makes no difference."""
    vector = vector_of(library)

    def fill(module):
        for parameter in module.parameters():
            parameter.data = vector(*parameter.shape).detach()
        return module

    return fill


def results(library, ck, program, mode):
    """The tensors in the last line of a program, as arrays."""
    space = {"t": library, "ck": ck, "mode": mode, "vector": vector_of(library)}
    space["fill"] = fill_of(library)
    *lines, last = program.strip().splitlines()
    exec("\n".join(lines), space)
    return [v if isinstance(v, bool) else v.detach().numpy() for v in eval(last, space)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)


@BOTH
@pytest.mark.parametrize("name", [*PROGRAMS, *FREE_PROGRAMS])
def test_gradients_are_those_of_the_plain_call(name, use_reentrant):
    program = {**PROGRAMS, **FREE_PROGRAMS}[name]
    if use_reentrant and name not in PROGRAMS and ("named" in program or "detach" in program):
        pytest.skip("the reentrant variant takes no such arguments")
    expected = results(gj, plainly, program, None)
    assert_same(results(gj, checkpoint, program, use_reentrant), expected)


@pytest.mark.parity
@pytest.mark.skipif(torch is None, reason="compares with PyTorch")
@pytest.mark.parametrize(
    ("name", "use_reentrant"),
    [(n, m) for n in PROGRAMS for m in (False, True)] + [(n, False) for n in FREE_PROGRAMS],
)
def test_parity(name, use_reentrant):
    program = {**PROGRAMS, **FREE_PROGRAMS}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, about checkpoints in a first, untracked run
        theirs = results(torch, torch.utils.checkpoint.checkpoint, program, use_reentrant)
    assert_same(results(gj, checkpoint, program, use_reentrant), theirs)


ERRORS = {
    "keywords": "ck(t.sin, vector(3), use_reentrant=True, other=1)",
    "contexts": "ck(t.sin, vector(3), use_reentrant=True, context_fn=lambda: None)",
    "debug": "ck(t.sin, vector(3), use_reentrant=True, debug=True)",
    "check": "ck(t.sin, vector(3), use_reentrant=False, determinism_check='some')",
    "sequential": "t.utils.checkpoint.checkpoint_sequential([t.sin], 1, vector(3), False, other=1)",
    "freed": "(lambda y: [y.backward(), y.backward()])(ck(t.sin, vector(), use_reentrant=False))",
    "written": "(lambda h: [ck(t.sin, h, use_reentrant=False).sum(), h.add_(1)][0])"
    "(vector(3) * 1).backward()",
    "fewer": "ck(lambda x: x.sin() if len(calls) < 1 and not calls.append(1) else x * 1, "
    "vector(3), use_reentrant=False).sum().backward()",
    "shapes": "ck(lambda x: (x.sin() if len(calls) < 1 and not calls.append(1) else "
    "x[:2].sin()).sum(), vector(3), use_reentrant=False).backward()",
}


@pytest.mark.parity
@pytest.mark.skipif(torch is None, reason="compares with PyTorch")
@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_those_of_pytorch(name):
    found = []
    for library, ck in ((gj, checkpoint), (torch, torch.utils.checkpoint.checkpoint)):
        space = {"t": library, "ck": ck, "vector": vector_of(library), "calls": []}
        with pytest.raises((RuntimeError, ValueError)) as error:
            eval(ERRORS[name], space)
        text = str(error.value).replace("torch.utils", "graphjit.utils")
        found.append((error.type.__name__, text.splitlines()[0].split(": [")[0]))
    assert found[0] == found[1]


@BOTH
def test_nothing_is_kept_for_backward_but_the_arguments(use_reentrant):
    kept = []

    def function(x):
        y = x.exp()
        kept.append(weakref.ref(y._array))
        return y.sin()

    x = gj.ones(3).requires_grad_()
    y = checkpoint(function, x, use_reentrant=use_reentrant)
    gc.collect()
    assert kept[0]() is None
    y.sum().backward()
    del y
    gc.collect()
    assert len(kept) == 2 and kept[1]() is None


@BOTH
def test_random_numbers_are_drawn_again_and_the_stream_goes_on_behind_them(use_reentrant):
    drop = nn.Dropout(0.5)

    def run(ck, **options):
        gj.manual_seed(0)
        x = gj.ones(50).requires_grad_()
        y = ck(lambda x: drop(x) * drop(x) * x, x, use_reentrant=use_reentrant, **options)
        between = gj.rand(3)
        y.sum().backward()
        return x.grad.tolist(), between.tolist(), gj.rand(3).tolist()

    assert run(checkpoint) == run(plainly)
    assert run(checkpoint, preserve_rng_state=False) != run(plainly)


def test_without_gradients_a_checkpoint_is_a_call():
    x = gj.ones(3).requires_grad_()
    with gj.no_grad():
        assert not checkpoint(gj.sin, x, use_reentrant=False).requires_grad
    assert not checkpoint(gj.sin, gj.ones(3), use_reentrant=False).requires_grad


def test_the_reentrant_variant_wants_an_argument_that_requires_grad():
    layer = nn.Linear(3, 2)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        assert not checkpoint(layer, gj.ones(3), use_reentrant=True).requires_grad
    checkpoint(layer, gj.ones(3), use_reentrant=False).sum().backward()
    assert layer.weight.grad.tolist() == [[1] * 3] * 2


def test_the_default_is_named_in_a_warning():
    x = gj.ones(3).requires_grad_()
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed") as caught:
        checkpoint(gj.sin, x)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed") as caught:
        checkpoint_sequential([gj.sin], 1, x)
    assert caught[0].filename == __file__


def test_a_captured_tensor_that_was_written_to_is_noticed():
    """PyTorch would compute with what is there now."""
    w, x = gj.ones(3).requires_grad_(), gj.ones(3).requires_grad_()
    y = checkpoint(lambda x: x * w, x, use_reentrant=False)
    with gj.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def fickle():
    """A function whose second run keeps tensors of another shape."""
    shapes = [3, 2]
    return lambda x: x[: shapes.pop(0)].sin().sum()


def test_a_second_run_that_differs():
    def run(**options):
        x = gj.ones(3).requires_grad_()
        checkpoint(fickle(), x, use_reentrant=False, **options).backward()
        return x.grad.tolist()

    with pytest.raises(CheckpointError) as error:
        run()
    assert "'shape': graphjit.Size([3])" in str(error.value) and "debug=True" in str(error.value)
    with pytest.raises(CheckpointError, match="Saved during recomputation:\n\nSinBackward0"):
        run(debug=True)
    assert run(determinism_check="none") == pytest.approx([np.cos(1), np.cos(1), 0])
    with pytest.raises(ValueError, match="debug=True is incompatible"):
        run(debug=True, context_fn=lambda: noop_context_fn())


def test_contexts_are_entered_around_the_runs():
    log = []

    class Noting:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(f"enter {self.name}")

        def __exit__(self, *exc):
            log.append(f"leave {self.name}")
            return self.name == "suppressing"

    def function(x):
        log.append("run")
        return x.sin()

    x = gj.ones(3).requires_grad_()
    contexts = Noting("first"), Noting("second")
    y = checkpoint(function, x, use_reentrant=False, context_fn=lambda: contexts)
    y.sum().backward()
    assert log == ["enter first", "run", "leave first", "enter second", "run", "leave second"]
    contexts = Noting("suppressing"), Noting("second")
    with pytest.raises(RuntimeError, match="suppressed an exception"):
        checkpoint(lambda x: 1 / 0, x, use_reentrant=False, context_fn=lambda: contexts)


def test_hooks_of_modules_around_and_inside():
    seen = []

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    outer = Outer()
    for name, module in (("outer", outer), ("inner", outer.inner)):
        module.register_full_backward_hook(
            lambda module, grads, outputs, name=name: seen.append((name, outputs[0].tolist()))
        )
    outer(gj.ones(3).requires_grad_()).sum().backward()
    assert seen == [("inner", [1] * 3), ("outer", [1] * 3)]
    y = checkpoint(gj.sin, gj.ones(3).requires_grad_(), use_reentrant=False)
    y.grad_fn.register_hook(lambda grads, outputs: seen.append(("node", outputs[0].tolist())))
    y.sum().backward()
    assert seen[-1] == ("node", [1] * 3)


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_sequential(segments):
    calls = []

    class Layer(nn.Linear):
        def forward(self, x):
            calls.append(1)
            return super().forward(x).tanh()

    net = nn.Sequential(*[Layer(4, 4) for _ in range(5)])
    grads = []
    for run in (net, lambda x: checkpoint_sequential(net, segments, x, use_reentrant=False)):
        net.zero_grad()
        del calls[:]
        run(gj.ones(2, 4).requires_grad_()).sum().backward()
        grads.append([p.grad.numpy() for p in net.parameters()])
    assert len(calls) == 5 + 5 // segments * (segments - 1)
    assert_same(*grads)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: depth"):
        checkpoint_sequential(net, 2, gj.ones(2, 4), use_reentrant=False, depth=1)


# --- in traced functions --------------------------------------------------------------------------


def model_and_step(ck, seed=0):
    """A model with dropout, and its training step."""
    gj.manual_seed(seed)
    layers = [nn.Linear(6, 24), nn.GELU(), nn.Dropout(0.3), nn.Linear(24, 6)]
    net = nn.ModuleList([nn.Sequential(*layers), nn.Sequential(nn.Linear(6, 6), nn.Tanh())])
    optimizer = gj.optim.Adam(net.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        h = x
        for block in net:
            h = ck(block, h, use_reentrant=False)
        loss = (h * gj.rand(6)).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return net, step


def test_a_traced_step_is_the_eager_one():
    (net, step), (twin, plain) = model_and_step(checkpoint), model_and_step(plainly)
    traced = gj.trace(step)
    for i in range(5):
        x = gj.full((4, 6), i / 4.0)
        state = gj.get_rng_state()
        loss = traced(x)
        after = gj.get_rng_state()
        gj.set_rng_state(state)
        np.testing.assert_allclose(loss.item(), plain(x).item(), 1e-5)
        assert after.tolist() == gj.get_rng_state().tolist()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), 1e-4, 1e-6)
    assert traced.stats()["replays"] == 4


def test_a_compiled_step_needs_less_memory():
    def arena(ck):
        blocks = [nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.Linear(64, 8)) for _ in range(6)]
        net = nn.ModuleList(blocks)

        @gj.trace
        def step(x):
            h = x
            for block in net:
                h = ck(block, h, use_reentrant=False)
            h.pow(2).sum().backward()

        step(gj.ones(64, 8))
        return step.attempts[0].variant.executable.program.memory.arena

    assert arena(checkpoint) < 0.5 * arena(plainly)


@pytest.mark.parametrize(
    "name",
    ["keywords and containers", "several tensors", "gradients of gradients", "within one another"],
)
def test_recorded_programs(name):
    program = {**PROGRAMS, **FREE_PROGRAMS}[name]
    lines = [line for line in program.strip().splitlines() if "vector" not in line]
    names = [n for n in "xyzw" if f"{n}, " in program or f"{n} = vector" in program]
    names = [n for n in names if f"{n}.grad" in program]
    body = "\n    ".join([*lines[:-1], f"return {lines[-1]}"])
    space = {"t": gj, "ck": checkpoint, "mode": False}
    exec(f"def function({', '.join(names)}):\n    {body}", space)
    traced = gj.trace(space["function"])
    for _ in range(3):
        vector = vector_of(gj)
        found = [v.detach().numpy() for v in traced(*[vector(3) for _ in names])]
    assert_same(found, results(gj, plainly, program, None))
    assert traced.stats()["replays"] == 2


def test_a_forward_only_trace_keeps_less_for_its_backward():
    drop = nn.Dropout(0.3)

    def run(ck):
        gj.manual_seed(0)
        layers = [nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8)) for _ in range(4)]

        @gj.trace
        def forward(x):
            for layer in layers:
                x = ck(lambda x, layer=layer: drop(layer(x)), x, use_reentrant=False)
            return x

        for _ in range(3):
            for layer in layers:
                layer.zero_grad()
            y = forward(gj.ones(32, 8))
            node = y.grad_fn
            kept = sum(array.nbytes for array in node.saved)
            y.pow(2).sum().backward()
        assert forward.stats()["replays"] == 2
        return kept, [p.grad.numpy() for layer in layers for p in layer.parameters()]

    (less, found), (more, expected) = run(checkpoint), run(plainly)
    assert_same(found, expected)
    assert less < 0.6 * more


def test_a_forward_only_trace_that_would_change_something_again_stays_eager():
    """Running statistics move in the first run and in the second, which comes after the call."""
    twins = []
    for wrap in (lambda f: f, gj.trace):
        norm = nn.BatchNorm1d(3)
        forward = wrap(lambda x, norm=norm: checkpoint(norm, x, use_reentrant=False))
        for i in range(3):
            x = (gj.arange(12.0).reshape(4, 3) * (i + 1)).requires_grad_()
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                forward(x).pow(3).sum().backward()
        twins.append((norm.running_mean.tolist(), norm.num_batches_tracked.item()))
    assert twins[0] == twins[1] and twins[0][1] == 6
    assert "changes something" in forward.eager_reason
