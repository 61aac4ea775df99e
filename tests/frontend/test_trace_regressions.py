"""Bugs of traced functions that random programs found; each test opens with the bug."""

import math
import re
import threading
import warnings

import pytest

import graphjit as gj
from graphjit import nn, optim

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["interp", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


def test_a_tensor_returned_twice_is_one_object():
    """A replay returned two tensors where the function returned one twice."""

    @gj.trace
    def traced(x):
        y = x + 1
        return y, [y, y[0]]

    for _ in range(3):
        a, (b, row) = traced(gj.zeros(2, 3))
        assert a is b
        row.fill_(7)
        assert a.tolist() == [[7] * 3, [1] * 3]


def test_a_result_has_the_strides_that_it_has_eagerly():
    """A replay returned contiguous tensors where eager code gives transposed ones."""
    traced = gj.trace(lambda x: (x.t() * 2, (x * 2)[:, 1]))
    for _ in range(3):
        a, b = traced(gj.ones(2, 3))
        assert a.stride() == (1, 3) and b.stride() == (3,)
        assert a.tolist() == [[2, 2]] * 3 and b.tolist() == [2, 2]


def test_a_detached_argument_is_another_tensor():
    """A replay returned the argument itself, with requires_grad, for `x.detach()`."""
    traced = gj.trace(lambda x: (x.detach(), x.view(-1).detach(), x))
    x = gj.ones(2, 2, requires_grad=True)
    for _ in range(3):
        a, b, same = traced(x)
        assert same is x and not a.requires_grad and not b.requires_grad
        b[0] = 5
        assert x[0, 0] == a[0, 0] == 5


def test_new_data_of_a_tensor_used_only_detached_is_seen():
    """`p.detach()` captured the detached tensor, so that `p.data = ...` went unnoticed."""
    p = gj.ones(3, requires_grad=True)
    traced = gj.trace(lambda x: p.detach() * x)
    for i in range(4):
        p.data = gj.full((3,), float(i))
        assert traced(gj.ones(3)).tolist() == [i] * 3


def test_windows_of_unfold_share_memory():
    """`unfold` gave a view that was not known as one, so a write to its base went unseen."""
    x = gj.arange(5.0)
    windows = x.unfold(0, 2, 1)
    traced = gj.trace(lambda x: (x.unfold(0, 2, 1), x.add_(1)))
    for _ in range(2):
        result, _ = traced(x)
    assert windows.tolist() == result.tolist() == [[i + 2, i + 3] for i in range(4)]


def test_a_write_through_an_expanded_argument():
    """`x[::2].mul_(-1)` on an expanded `x` was replayed for one of the rows that are one."""
    step = gj.trace(lambda x: x[::2].mul_(-1).clone())
    base = gj.ones(1, 4)
    with pytest.warns(UserWarning, match="elements that share memory"):
        step(base.expand(2, 4))
    step(base.expand(2, 4))
    assert base.tolist() == [[1] * 4]


def test_a_view_of_a_detached_parameter_is_detached():
    """A replay of `p.detach().t()` gave a view that requires grad."""
    p = gj.ones(2, 3, requires_grad=True)
    traced = gj.trace(lambda: p.detach().t())
    for _ in range(3):
        assert not traced().requires_grad


def test_equal_results_do_not_share_memory():
    """After `a.copy_(b)`, a replay returned one array for both."""
    @gj.trace
    def copied(x):
        a, b = x * 1, x * 2
        a.copy_(b)
        return a, b

    for _ in range(3):
        a, b = copied(gj.ones(2))
        a.zero_()
        assert b.tolist() == [2, 2]


def test_dropout_of_integers_is_an_error():
    """Eager dropout of integers gave integers, which could not be compiled."""
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Long"):
        nn.functional.dropout(gj.arange(3), 0.5)
    assert nn.functional.dropout(gj.arange(3), 1.0).tolist() == [0, 0, 0]


def test_softmax_of_nothing():
    """A reduction over no elements inside a composite could not be decomposed."""
    traced = gj.trace(lambda x: x.softmax(0))
    for _ in range(3):
        assert traced(gj.ones(0)).shape == (0,)


def test_a_hook_on_a_leaf_and_what_it_reads():
    """A hook put on a captured leaf, or a variable that it reads, went unseen."""
    p, factor = gj.ones(2, requires_grad=True), 2.0

    @gj.trace
    def step():
        p.grad = None
        (p * 3).sum().backward()

    def after():
        step()
        return p.grad[0].item()

    assert [after(), after()] == [3, 3]
    handle = p.register_hook(lambda g: g * factor)
    assert [after(), after()] == [6, 6]
    factor = 5.0
    assert [after(), after()] == [15, 15]
    handle.remove()
    assert after() == 3


def test_argmax_of_one_number_in_a_kernel():
    """A fused argmax over no dimensions could not be interpreted."""
    traced = gj.trace(lambda x, p: nn.functional.cross_entropy(x, (p @ p).argmax(-1)))
    x, p = gj.arange(5.0), gj.ones(5)
    results = [traced(x, p).item() for _ in range(3)]
    assert results == pytest.approx([nn.functional.cross_entropy(x, gj.tensor(0)).item()] * 3)


def test_flip_is_a_copy():
    """Eagerly, `flip` of a dimension of one element shared memory."""
    x = gj.zeros(1, 1)
    x.flip(0).add_(1)
    assert x.item() == 0


def test_a_part_of_an_update_waits_for_the_last_read():
    """The base of a scatter, or a part of a concatenation, was written to an argument too early."""
    def twice(x):
        x.mul_(-1)
        x[:2].mul_(-1)

    def turned(x):
        x.copy_(gj.cat([x[1:] * 2, x[:1] * 3]))

    for function in (twice, turned):
        traced = gj.trace(function)
        x, y = gj.arange(4.0) + 1, gj.arange(4.0) + 1
        for _ in range(4):
            function(x), traced(y)
            assert x.tolist() == y.tolist()


def test_flip_of_a_scalar_in_a_kernel():
    """`flip(0)` of a tensor of no dimensions had a dimension that it does not have."""
    traced = gj.trace(lambda x: (x * 2).flip(0))
    assert [traced(gj.tensor(2.0)).item() for _ in range(3)] == [4, 4, 4]


def test_threads_that_record_at_once():
    """Two threads that recorded at the same time took down each other's watch on modules."""
    layer = nn.Linear(3, 3)
    traced = gj.trace(lambda x: layer(x).detach())
    failures = []

    def run(size):
        for _ in range(5):
            x = gj.ones(size, 3)
            if not gj.allclose(traced(x), layer(x)):
                failures.append(size)

    threads = [threading.Thread(target=run, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for size in range(1, 9):  # while one thread records, others run eagerly
        run(size)
    assert not failures and traced.stats()["variants"] == 8


def test_python_errors_name_the_type_of_a_number():
    """An error of Python about a symbolic number named its class, `SymNumber`."""
    traced = gj.trace(lambda x: x.sum().item()[0])
    with pytest.raises(TypeError, match="'float' object is not subscriptable"):
        traced(gj.ones(2))


def test_the_number_that_an_error_is_about():
    """The error about a float named the type of the last number that was read, an int."""

    def step(x, s):
        n = x.max().item()
        return s[0] if n else x

    with pytest.raises(TypeError, match="'float' object is not subscriptable"):
        gj.trace(step)(gj.arange(3), 2.0)


@pytest.mark.parametrize("use", [lambda n: ~n, lambda n: [1, 2][n], lambda n: bytes(n)])
def test_a_float_where_an_int_is_needed(use):
    """The message was that of another place where an int is needed."""
    with pytest.raises(TypeError) as expected:
        use(2.0)
    step = gj.trace(lambda x, n: x * use(n))
    for n in (2.0, 3.0, 4.0):
        with pytest.raises(TypeError, match=re.escape(str(expected.value))):
            step(gj.ones(2), n)


def test_positions_have_the_strides_that_they_have_eagerly():
    """`nonzero` gave rows in another order of memory while it was recorded."""
    traced = gj.trace(lambda x: x.nonzero())
    for _ in range(3):
        assert traced(gj.ones(2, 3)).stride() == gj.ones(2, 3).nonzero().stride() == (1, 6)


def test_positions_are_no_view():
    """What `nonzero` gave was a view while it was recorded, and could not be detached in place."""
    step = gj.trace(lambda x: x.nonzero().detach_()._base)
    for _ in range(3):
        assert step(gj.ones(2, 3)) is None


def test_tensors_in_a_tuple_that_is_passed_again():
    """The same tuple passed again raised an IndexError: the tensors in it were not found."""
    p, pair = gj.ones(2), (gj.zeros(2), gj.ones(2))
    traced = gj.trace(lambda pair, x: (pair[0] + pair[1] + x, p))
    for i in range(3):
        assert traced((pair[0], p), gj.full((2,), i))[0].tolist() == [i + 1] * 2
        assert traced(pair, gj.full((2,), i))[0].tolist() == [i + 1] * 2
        assert traced(pair, gj.full((2,), i))[0].tolist() == [i + 1] * 2


def test_other_data_of_a_tensor_of_which_only_the_shape_is_read():
    """`randn_like(p)` was replayed with the old shape after `p.data = ...`."""
    p = gj.ones(2, 3, requires_grad=True)
    traced = gj.trace(lambda: (gj.zeros_like(p), p.ndim, p.requires_grad))
    for data in (gj.ones(4), gj.ones(4), gj.ones(3, 1, dtype=gj.float64)):
        p.data = data
        for _ in range(2):
            found, ndim, requires_grad = traced()
            assert (found.shape, found.dtype, ndim) == (data.shape, data.dtype, data.ndim)
            assert requires_grad
    p.requires_grad_(False)
    assert not traced()[2]


@pytest.mark.parametrize("change", [
    lambda c: c.t_(), lambda c: c.unsqueeze_(0), lambda c: c.resize_(3, 2), lambda c: c.detach_(),
    lambda c: c.set_(gj.ones(2)), lambda c: c.mul_(gj.ones(1, requires_grad=True)),
])  # fmt: skip
def test_a_captured_tensor_changed_in_place_between_calls(change):
    """`c.t_()` went unseen: replays went on with the array that `c` had before."""
    c = gj.arange(6.0).reshape(2, 3).clone()
    traced = gj.trace(lambda: c * 2)
    for _ in range(3):
        traced()
    change(c)
    for _ in range(3):
        found = traced()
        assert found.tolist() == (c * 2).tolist() and found.requires_grad == c.requires_grad


def test_a_comparison_with_nothing():
    """The error of `None < x.sum().item()` named the operands in the other order."""
    for compare, text in ((lambda x: None < x.sum().item(), "'NoneType' and 'float'"),
                          (lambda x: x.sum().item() < None, "'float' and 'NoneType'")):
        with pytest.raises(TypeError, match=f"'<' not supported between instances of {text}"):
            gj.trace(compare)(gj.ones(2))


def test_small_integers_in_a_dot_product():
    """The dot product of int32 vectors came out of the compiler as int64."""
    traced = gj.trace(lambda x: x @ x)
    for dtype in (gj.int32, gj.uint8):
        for _ in range(2):
            assert traced(gj.tensor([200, 7]).to(dtype)).dtype is dtype


def test_a_flipped_value_is_not_overwritten_before_it_is_read():
    """A kernel wrote its result over an operand that was still to be read in flipped order."""

    def function(x):
        square = x @ x
        return square.flip(0) @ (square * 2 + 1)

    traced, x = gj.trace(function), gj.randint(9, (20, 20)).double()
    for _ in range(3):
        assert gj.equal(traced(x), function(x))


data = [object()]


def test_a_hyper_parameter_set_to_what_it_is():
    """Setting `lr` to the number it had was recorded as nothing: replays left another `lr`."""
    group = optim.SGD([gj.ones(1, requires_grad=True)], lr=2.0).param_groups[0]
    rate = group["lr"]

    def step():
        group["lr"] = rate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the assignment, and that it runs eagerly
        traced = gj.trace(step)
        for lr in (2.0, 2.0, 1.5, 2.0, 0.5):
            group["lr"] = lr
            traced()
            assert group["lr"] == 2.0


def test_attributes_named_like_globals():
    """`x.data` was taken for a global `data`, and `model.eval()` for the function `eval`."""
    model = nn.Linear(2, 2).eval()

    def step(x):
        model.eval()
        return x.data * 2

    traced = gj.trace(step)
    for _ in range(3):
        assert traced(gj.ones(2)).tolist() == [2, 2]
        data.append(object())
    assert traced.stats()["replays"] == 2


@pytest.mark.parametrize("made", [list, dict])
def test_changes_of_arguments_are_made_by_every_call(made):
    """What a function did to a list or dict among its arguments was left out by replays."""

    def step(x, kept):
        if isinstance(kept, list):
            kept.append(x * 2)
        else:
            kept["double"] = x * 2
        return x

    def run(traced):
        for i in range(7):
            kept = made()
            traced(gj.full((2,), float(i)), kept)
            held = list(kept.values()) if isinstance(kept, dict) else kept
            assert [tensor.tolist() for tensor in held] == [[2 * i] * 2]

    with pytest.warns(UserWarning, match="every call changes its arguments"):
        run(gj.trace(step))


def test_a_number_that_python_has_seen_is_compared():
    """`min(n, x.item())` failed in the compiler after `math.sin(n)` had made `n` a plain number."""

    def f(x):
        n = x.argmax().item()
        return math.sin(n), min(n, x.sum().item())

    traced = gj.trace(f)
    for i in (1.0, 2.0, -3.0):
        assert traced(gj.tensor([0.0, i])) == f(gj.tensor([0.0, i]))


@pytest.mark.parametrize("wrap", [lambda f: f, gj.trace])
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_a_parameter_whose_state_has_another_shape(wrap, kind):
    """An optimizer's step raised NumPy's error where it, recorded, raises PyTorch's."""
    p = gj.ones(2, 3, requires_grad=True)
    optimizer = kind([p])

    def step():
        p.grad = gj.ones_like(p)
        optimizer.step()

    wrap(step)()
    p.data = gj.ones(1, 1)
    with pytest.raises(RuntimeError, match="doesn't match|must match"):
        wrap(step)()


@pytest.mark.parametrize("change", [lambda x, p: x.mul_(p), lambda x, p: x.requires_grad_()])
def test_a_detached_result_that_requires_grad_again(change):
    """A replay returned `p.detach().mul_(q)` without its place on the tape."""
    p, q = gj.ones(2), gj.ones(2, requires_grad=True)
    traced = gj.trace(lambda: change(p.detach(), q))
    with pytest.warns(UserWarning, match="but not its tape|structure"):
        found = [traced().requires_grad for _ in range(5)]
    assert all(found)


@pytest.mark.parametrize("use", [lambda loss: loss / 4, lambda loss: -(loss * 2).reshape(1)])
def test_a_result_computed_from_a_loss_that_has_been_used(use):
    """A loss that was divided by a number after its backward made the step run eagerly."""
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.01)

    @gj.trace
    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return use(loss)

    for _ in range(3):
        with gj.no_grad():
            expected = use(model(gj.ones(2, 3)).pow(2).mean())
        found = step(gj.ones(2, 3))
        assert found.requires_grad and gj.allclose(found, expected)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            found.sum().backward()
    assert step.stats()["replays"] == 2


def test_a_result_that_is_used_up_in_part():
    """A backward may still reach leaves beside what an earlier one has used up."""
    weight = gj.ones(3, requires_grad=True)
    other = gj.ones(3, requires_grad=True)

    def step(x):
        loss = (x * weight).pow(2).sum() / 3
        loss.backward()
        return loss + (other * x).sum()

    def run(function):
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            function(gj.ones(3)).backward()

    traced = gj.trace(step)
    run(step)
    with pytest.warns(UserWarning, match="a backward that is yet to come would fail"):
        run(traced)
    run(traced)


def test_a_sum_of_one_negative_zero():
    """A replay took the sum of one -0 for that -0, where PyTorch and eager code give 0."""
    functions = (
        lambda x: x.sum(0), lambda x: x.mean(0, keepdim=True), lambda x: x[:, :1].sum(),
        lambda x: x[:, :1].sum(0), lambda x: x[:, :1].mean(1), lambda x: x[0, 0].sum(),
    )  # fmt: skip
    for function in functions:
        traced = gj.trace(function)
        for call in (function, traced, traced, traced):
            assert not gj.signbit(call(-gj.zeros(1, 3))).any()


class Pair:
    def __init__(self, value):
        self.value = value


SHARED = Pair(1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: [nn.Linear(1, 1), x * 2],
        lambda x: {"value": lambda: x * 2},
        lambda x: (Pair(x).__init__, x * 2),
    ],
)
def test_objects_that_a_call_makes_and_returns(make):
    """Modules and functions made by a call were returned, with its tensors, by every replay."""
    traced = gj.trace(make)
    with pytest.warns(UserWarning, match="cannot be made anew"):
        first = traced(gj.ones(2))
    second = traced(gj.zeros(2))
    assert first is not second and traced.stats()["replays"] == 0


def test_objects_from_outside_are_returned():
    model = nn.Linear(1, 1)
    traced = gj.trace(lambda x, given: (model, SHARED, given, Pair, math.sin, x * 2))
    for _ in range(3):
        found = traced(gj.ones(2), SHARED)
        assert found[:5] == (model, SHARED, SHARED, Pair, math.sin)
    assert traced.stats()["replays"] == 2


def test_a_mask_that_is_no_tensor():
    """While recorded, `masked_select` of a tuple raised an AttributeError."""
    traced = gj.trace(lambda x: x.masked_select((True, False)))
    with pytest.raises(TypeError, match=r"argument 'mask' \(position 2\) must be Tensor"):
        traced(gj.ones(2))


def test_results_in_containers_of_several_kinds():
    """From the third replay on, a shape that was returned raised a TypeError."""
    traced = gj.trace(lambda x: (x.shape, x.max(0), [x.topk(1), x.sort()], {"size": x[0].shape}))
    for n in range(6):
        x = gj.arange(6.0).reshape(2, 3) * (n - 2)
        found = traced(x)
        expected = (x.shape, x.max(0), [x.topk(1), x.sort()], {"size": x[0].shape})
        assert repr(found) == repr(expected)
        assert type(found[0]) is type(x.shape) and type(found[1]) is type(expected[1])
    assert traced.stats()["replays"] == 5
