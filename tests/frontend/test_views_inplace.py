"""Views and in-place writes: values, gradients and version errors, against PyTorch."""

import random

import numpy as np
import pytest

import graphjit as gj

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

VIEWS = [
    "{v}[0]", "{v}[-1]", "{v}[1:]", "{v}[..., 0]", "{v}[..., ::2]", "{v}.t()", "{v}.T",
    "{v}.reshape(-1)", "{v}.unsqueeze(0)", "{v}.squeeze()", "{v}.transpose(0, -1)", "{v}.detach()",
    "{v}.diagonal()", "{v}.view(-1)", "{v}.flatten()", "{v}.narrow(0, 0, 1)", "{v}.select(-1, 0)",
    "{v}.permute(1, 0)", "{v}[None]", "{v}.movedim(0, -1)", "{v}.unfold(0, 1, 1)",
    "{v}.expand(2, -1, -1)", "{v}.expand(1, *{v}.shape)", "{v}.contiguous()", "{v}.clone()",
    "{v}.unflatten(0, (1, -1))",
]  # fmt: skip
WRITES = [
    "{v}.add_({o})", "{v}.mul_({o})", "{v}.sub_(0.5)", "{v}.mul_(2)", "{v}.copy_({o})",
    "{v}.zero_()", "{v}.fill_(0.25)", "{v}.sigmoid_()", "{v}.relu_()", "{v}.clamp_(-1, 1)",
    "{v}.neg_()", "{v}.div_(3)", "{v}.masked_fill_({v} > 0, 0.5)", "{v}.tanh_()",
    "{v}.add_({v})", "{v}.mul_({v})",
    "{v}.pow_(2)", "{v}.exp_()", "{v}[0] = 0.3", "{v}[..., 0] = {o}", "{v} += {o}", "{v} *= 0.5",
    "{v}[{v} > 0.2] = 0.1", "{v}.addcmul_({v}, {o})",
    "{v}.lerp_({o}, 0.5)", "{v}.index_fill_(0, i, 0.7)", "{v}.index_add_(0, i, {o}[:1])",
]  # fmt: skip
VALUES = [
    "{v} * {o}", "{v} + 1", "{v}.exp()", "{v}.sum(0)", "{v} @ {v}.t()", "{v}.sigmoid()", "{o}",
]  # fmt: skip


def program(seed):
    """Lines that make, look through, and write to tensors; some of them are errors."""
    rng = random.Random(seed)
    lines = ["a = x * 1.0", "b = y + 0.0"]
    names, owner = ["a", "b"], {"a": "a", "b": "b", "x": "x", "y": "y"}
    for number in range(rng.randint(3, 9)):
        v, o = rng.choice(names), rng.choice(["x", "y", *names])
        if owner[o] == owner[v]:  # PyTorch may read what it has just written
            o = v
        kind, fresh = rng.random(), f"t{number}"
        if kind < 0.4:
            lines.append(f"{fresh} = " + rng.choice(VIEWS).format(v=v))
            names.append(fresh)
            owner[fresh] = owner[v]
        elif kind < 0.75:
            write = rng.choice(WRITES).format(v=v, o=o)
            lines.append(f"with t.no_grad(): {write}" if rng.random() < 0.1 else write)
        else:
            lines.append(f"{fresh} = " + rng.choice(VALUES).format(v=v, o=o))
            names.append(fresh)
            owner[fresh] = owner[o] if lines[-1] == f"{fresh} = {o}" else fresh
    total = " + ".join(f"({name} * {name}).sum()" for name in names)
    return [*lines, f"loss = {total}", "loss.backward()"]


def run(module, lines):
    """After each line: the error it raised, if any; at the end all values and gradients."""
    rng = np.random.default_rng(0)
    x, y = (module.tensor(rng.standard_normal((3, 3))).requires_grad_() for _ in range(2))
    space = {"t": module, "x": x, "y": y, "i": module.tensor([0])}
    log = []
    for line in lines:
        try:
            exec(line, space)
            log.append((line, "ok"))
        except (RuntimeError, IndexError, ValueError, NameError) as error:
            log.append((line, type(error).__name__))
            if "memory location" in str(error):
                return None  # what overlaps, PyTorch refuses; we compute it
    state = {}
    if log[-1][1] != "ok":
        return log, state  # how far backward came before its error is not defined
    for name, value in space.items():
        if type(value) in (gj.Tensor, torch.Tensor) and name != "i":
            state[name] = value.detach().numpy().copy()
            if value.is_leaf and value.requires_grad:
                grad = value.grad
                state[f"{name}.grad"] = np.zeros(value.shape) if grad is None else grad.numpy()
            state[f"{name}.requires_grad"] = np.array(value.requires_grad)
    return log, state


@pytest.mark.parametrize("seed", range(400))
def test_random_program(seed):
    lines = program(seed)
    ours, theirs = run(gj, lines), run(torch, lines)
    if ours is None or theirs is None or theirs[0][-1][1] != "ok":
        return  # we keep more copies, so that backward does not always fail where PyTorch's does
    shown = "\n".join(lines)
    assert ours[0] == theirs[0], shown
    assert ours[1].keys() == theirs[1].keys()
    for name, expected in theirs[1].items():
        found = ours[1][name]
        assert found.shape == expected.shape, f"{name} after\n{shown}"
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9,
                                   err_msg=f"{name} after\n{shown}")


@pytest.mark.parametrize(
    "shape, extents", [((1, 1), (1, 1)), ((2,), (1, 2)), ((2, 3), (-1, 3)), ((2, 1), (1, 2, 1))]
)
def test_what_expand_leaves_as_it_is_can_be_written_to_in_part(shape, extents):
    """A tape was refused the write, which compiled code did: nothing is repeated there."""
    found = []
    for t in (gj, torch):
        leaf = t.ones(shape).requires_grad_()
        base = leaf * 2
        base.expand(extents)[0].mul_(3)
        found.append([base.tolist(), t.autograd.grad((base * base).sum(), leaf)[0].tolist()])
    assert found[0] == found[1]


WRITES_NEAR_A_LEAF = [
    "a.add_(1)", "v.add_(1)", "w.mul_(2)", "v.unsqueeze_(0)", "v[0] = 3", "b.add_(1)",
    "with t.no_grad(): a.add_(1)", "with t.no_grad(): b.add_(1)", "with t.no_grad(): v.add_(1)",
    "a.requires_grad_(False); b.mul_(c); v.sum()", "a.data.add_(1)", "b.requires_grad_(); v.sum()",
]


@pytest.mark.parametrize("text", WRITES_NEAR_A_LEAF)
def test_views_of_a_leaf_that_is_itself_a_view(text):
    """Their base was what the leaf is a view of: any write took them off the tape, silently."""
    found = []
    for t in (gj, torch):
        b, c = t.arange(6.0).reshape(2, 3), t.ones(2, 3).requires_grad_()
        a = b[1:]
        a.requires_grad_()
        v = a.reshape(-1)
        w = v[1:]
        try:
            exec(text, {"t": t, "a": a, "b": b, "c": c, "v": v, "w": w})
        except RuntimeError as error:
            found.append(str(error).splitlines()[0])
            continue
        found.append([(x.requires_grad, x.is_leaf, x.tolist()) for x in (a, b, v, w)])
        if t is gj and a.is_leaf:  # PyTorch finds its way from `b`, and no gradient there
            (grad,) = t.autograd.grad((v * v).sum() + (w * 3).sum(), a)
            assert grad.tolist() == (2 * a + t.tensor([0.0, 3, 3])).tolist()
    assert found[0] == found[1]


def test_a_row_of_an_expanded_tensor_can_be_written_to():
    """Writing to a row of an expanded transpose raised NumPy's error about read-only arrays."""
    found = []
    for t in (gj, torch):
        x = t.arange(6.0).reshape(2, 3).t().clone().t()
        x.expand(4, 2, 3)[1].mul_(2)
        t.ones(2, 0)[None].expand(3, 2, 0).zero_()
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            x.expand(4, 2, 3).mul_(2)
        found.append(x.tolist())
    assert found[0] == found[1]


NEW = """
x.logsumexp(0); x.norm(2, 0); x.roll(1); x.kthvalue(2)[0]; x.median(0)[1]; x.mode()[0]; z @ x[0]
x.put(i, x[0]); x.index_copy(1, i[:1], x[:, :1]); x.index_fill(1, i, 9); x[0] @ z.mT
t.einsum('ij->', x); t.einsum('i,j->ij', x[0], x[1]); t.einsum('ij->ji', x); x.view(-1)
"""


@pytest.mark.parametrize("text", NEW.replace("\n", ";").strip(";").split(";"))
def test_what_is_a_view(text):
    """Results that a view op was the last to make were views of what nobody else knew."""
    found = []
    for t in (gj, torch):
        x = t.arange(6.0).reshape(2, 3)
        result = eval(text, {"t": t, "x": x, "z": t.ones(2, 4, 3), "i": t.tensor([0, 2, 1])})
        found.append(result._base is None)
    assert found[0] == found[1]


@pytest.mark.parametrize("change", ["v.requires_grad_(False)", "v.data = v.detach() * 2"])
def test_a_view_that_was_written_to_is_no_leaf(change):
    """It was taken for one until someone asked for its place on the tape."""
    found = []
    for t in (gj, torch):
        v = (t.ones(2, 2, requires_grad=True) * 2).view(-1)
        v.mul_(2)
        try:
            exec(change, {"v": v})
        except RuntimeError as error:
            found.append(str(error)[:60])
        else:
            found.append((v.requires_grad, v.is_leaf))
    assert found[0] == found[1]


def test_a_view_of_what_has_got_other_data():
    """Looking at it took the view of the new data, which may have other dimensions."""

    def seen(library):
        base = library.ones(2, 3, 4, requires_grad=True)
        view = base.transpose(0, -1)[1]
        base.data = library.ones(5)
        with library.no_grad():
            base.zero_()
        return view.requires_grad, view.is_leaf, view.tolist()

    assert seen(gj) == seen(torch) == (True, False, [[1.0, 1.0]] * 3)
