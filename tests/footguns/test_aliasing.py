"""Aliasing and mutation

In-place operations reach exactly the tensors that share the memory, whichever way they share it.
What a call has returned stays as it is, and the caller owns it.
"""

import types

import pytest

import graphjit as gj
from graphjit import nn

from .harness import traced, trap


@pytest.fixture(params=["interp", "kernels"], autouse=True)
def backend(request, monkeypatch, interpreted):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


@trap(variants=1)
def test_an_argument_written_in_place():
    """An in-place operation on an argument changes the caller's tensor."""

    def step(x):
        x.mul_(2)
        x[1:3] += 1
        x[0] = x[3]
        return x.sum()

    return step


@trap(variants=1)
def test_a_captured_tensor_written_in_place():
    """Tensors from outside that the function writes keep what was written, call after call."""
    total, log = gj.zeros(4), gj.zeros(3, 4)

    def step(x):
        total.add_(x)
        log[1:].copy_(log[:-1].clone())
        log[0] = total
        return log * 1

    return step


@trap(eager="shares memory")
def test_writes_through_captured_views():
    """Captured views of one tensor may be written in turn: each sees what the others wrote."""
    base = gj.zeros(4, 4)
    row, column, corner = base[0], base[:, 1], base.t()[2:, ::2]

    def step(x):
        corner.t().add_(x[:1])
        base.diagonal().copy_(x)
        row.mul_(2)
        return column + row, base.view(-1)[3:6]

    return step


@trap(variants=1)
def test_writes_through_views():
    """A write through a view of a view, transposed or strided, reaches the base and all views."""
    base = gj.zeros(4, 4)

    def step(x):
        row, column, corner = base[0], base[:, 1], base.t()[2:, ::2]
        corner.t().add_(x[:2])
        base.diagonal().copy_(x)
        row.mul_(2)
        return column + row, base.view(-1)[3:6]

    return step


@trap(variants=1)
def test_views_made_before_and_after_a_write():
    """Views inside the function see what is written to their base before and after."""

    def step(x):
        y = x * 1
        before = y[1:]
        y.add_(10)
        after = y[:2]
        before[0] = 99
        return before, after, y

    return step


@trap
def test_results_that_are_views():
    """Results that are views of one another, of arguments or of captured tensors still are."""
    weight = gj.arange(6.0).view(2, 3)

    def step(x):
        y = x + 1
        return x[1:], weight.t(), weight[1], y, y[::2], x, weight

    def change(n):
        weight[1] += n

    return step, change


@trap(variants=1)
def test_results_stay_valid():
    """The results of all calls stay as they were, and writing to one changes no other."""
    results = []

    def change(n):
        results[-1].fill_(-n)

    def step(x):
        return x * 2

    run = traced(step)

    def keep(x):
        results.append(run(x))
        return results[-1]

    return keep, change


def one_or_two(call):
    x = gj.arange(4.0) + call
    return (x, x) if call % 3 else (x, gj.arange(4.0))


@trap(arguments=one_or_two)
def test_the_same_tensor_twice():
    """A tensor that is given twice is one tensor, also when it is written."""

    def step(x, y):
        x.add_(y)
        return y * 2

    return step


def overlapping(call):
    base = gj.arange(8.0) + call
    return [
        (base[:4], base[4:]), (base[:4], base[2:6]), (base[::2], base[1::2]), (base[:4], base[:4]),
        (base[:4], base[:4].view(2, 2).view(4)),
    ][call % 5]  # fmt: skip


@trap(arguments=overlapping, eager="shares memory", replays=1)
def test_arguments_that_overlap():
    """Arguments that share memory in part, or only touch, give what they give eagerly."""

    def step(x, y):
        x.mul_(2)
        y.add_(1)
        return x + y

    return step


@trap(eager="shares memory", replays=2)
def test_an_argument_that_overlaps_a_captured_tensor():
    """A view of a captured tensor, given as an argument, sees what the function writes to that."""
    table = gj.arange(12.0).view(3, 4)
    calls = iter(range(100))

    def step(x):
        table.add_(1)
        x.mul_(2)
        return x + table[0]

    run = traced(step)

    return lambda x: run((x, table[1], table[0])[next(calls) // 2 % 3])


def laid_out(call):
    base = gj.arange(24.0).view(4, 6) + call
    return [
        (base,), (base.t(),), (base[:, ::2],), (base[1:3],), (base[:1].expand(4, 6),),
        (base[:, :1].expand(4, 6),), (base.view(2, 2, 6).transpose(0, 1),),
    ][call % 7]  # fmt: skip


@trap(arguments=laid_out, calls=14, replays=7)
def test_strides_of_arguments():
    """Transposed, strided and expanded arguments are computed with as they lie in memory."""
    return lambda x: (x * 2 + x.sum(0), x.reshape(-1)[:3], x.flip(0).contiguous())


@trap(arguments=laid_out, calls=14, replays=2)
def test_writes_to_strided_arguments():
    """An in-place operation on a transposed or strided argument reaches the memory under it."""

    def step(x):
        return x.add_(1) if x.stride(0) and x.stride(1) else x.sum()

    return step


@trap(variants=1)
def test_in_place_chains():
    """`copy_`, `fill_`, `zero_`, `clamp_`, `index_put` and `out=` leave what they leave eagerly."""
    out = gj.zeros(4)

    def step(x):
        gj.add(x, 1, out=out)
        x.clamp_(1, 3).neg_()
        x[gj.tensor([0, 2])] = 7.0
        x.masked_fill_(x < -2.5, 0.5)
        out[1:].zero_()
        return out.add_(x)

    return step


@trap
def test_rows_chosen_by_a_tensor():
    """A write to a row chosen by an index tensor hits that row and no other."""
    table, index = gj.zeros(3, 4), gj.tensor([0, 2])

    def step(x):
        table[index] += x
        return table[index[0]]

    def change(n):
        index.copy_(gj.tensor([[0, 2], [1, 1], [2, 0]][n % 3]))

    return step, change


@trap(variants=1)
def test_a_number_written_where_a_mask_is_true():
    """A number is written where a mask is true, whatever the mask, without recording again."""

    def step(x):
        y = (x - 5).outer(x).requires_grad_() * 1
        y[y > x[2]] = -1.0
        y[(x > 4)] = y[0, 0].detach()
        y[:, (x * 7) % 3 > 1] = 2
        y[1, x % 2 == 1] = True
        return y.detach()

    return step


@trap(variants=1)
def test_swapping():
    """Two tensors that exchange their contents do so at every call."""
    a, b = gj.zeros(4), gj.ones(4)

    def step(x):
        before = a.clone()
        a.copy_(b + x)
        b.copy_(before)

    return step


@trap(variants=1)
def test_detached_and_shared():
    """`detach()` and `.data` share memory; writing through them changes the parameter."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        shared = weight.detach()
        shared.add_(x)
        weight.data.mul_(0.5)
        return shared, weight * 1 if not weight.requires_grad else shared.sum()

    return step


@trap(variants=2)
def test_state_carried_in_a_module():
    """`self.h = h`, a state that a module carries from call to call, is carried by replays."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.count = gj.zeros(4), 0

        def forward(self, x):
            self.hidden = gj.tanh(self.hidden * 0.5 + x)
            self.count += 1
            return self.hidden

    cell = Cell()

    def change(n):
        if n == 2:
            cell.hidden = gj.ones(4)
        if n == 3:
            cell.count = 100

    return lambda x: cell(x), change


@trap(eager="every call changes")
def test_state_carried_in_a_plain_object():
    """A plain object's attribute that every call assigns makes the function run eagerly."""
    holder = types.SimpleNamespace(hidden=gj.zeros(4))

    def step(x):
        holder.hidden = gj.tanh(holder.hidden * 0.5 + x)
        return holder.hidden

    return step


@trap
def test_numpy_shares_memory():
    """`x.numpy()` and `from_numpy` share memory, which may be written between calls."""
    weight = gj.ones(4)
    array = weight.numpy()

    def change(n):
        array[:] = n

    return lambda x: weight.mul_(2) + x, change


@trap(variants=1)
def test_empty_tensors():
    """Tensors of no elements go through views, writes and joins like any other."""

    def step(x):
        empty = x[4:]
        empty.add_(1)
        return gj.cat([empty, x]), empty.view(0, 4), x[:0].sum()

    return step


@trap(variants=1)
def test_a_shape_changed_in_place():
    """A tensor that the function has made may be given another shape in place."""

    def step(x):
        y = x * 2
        first = y[:1]
        y.unsqueeze_(0).t_()
        first.add_(1)
        y.squeeze_()
        rows = x.expand(3, 4).clone()
        rows.t_()[1] = 0
        return y, rows, first * 1

    return step


@trap(variants=1)
def test_a_shape_changed_in_place_under_gradients():
    """So may one that the tape follows, or a view of it."""
    weight = gj.ones(3, 4, requires_grad=True)

    def step(x):
        weight.grad = None
        y = weight * x
        part = y[1:]
        part.t_()
        part.mul_(2)
        y.transpose_(0, 1)
        (y * y).sum().backward()
        return part.detach() * 1, weight.grad

    return step


@trap(variants=1)
def test_writes_through_data_are_not_counted():
    """What `.data` writes to does not count as modified, neither eagerly nor in a replay."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def shrink(x):
        weight.data.mul_(0.9)
        weight.data[1:].add_(x[1:])

    def step(x):
        weight.grad = None
        square = weight * weight
        shrink(x)
        square.sum().backward()
        return weight.grad

    return step


@trap(variants=1)
def test_writes_are_counted_by_the_tensor_written_to():
    """Of a tensor and what its `.data` gave before, that counts as modified which is written to."""
    weight = gj.ones(4, requires_grad=True)
    data = weight.data

    @traced
    def shrink(x):
        total = weight.sum().detach()
        data[1:].mul_(0.5)
        return total

    def step(x):
        weight.grad = None
        square = weight * weight
        total = shrink(x)
        square.sum().backward()
        return total, weight.grad

    return step


@trap(variants=1)
def test_a_tensor_read_through_data_is_modified():
    """So it is the other way round."""
    weight = gj.ones(4, requires_grad=True)
    data = weight.data

    @traced
    def shrink(x):
        total = data.sum()
        with gj.no_grad():
            weight.mul_(0.5)
        return total

    def step(x):
        square = weight * weight
        shrink(x)
        square.sum().backward()

    return step


@trap(variants=1)
def test_writes_that_change_nothing_are_counted():
    """A tensor copied onto itself counts as modified."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def touch(x):
        alias = weight.detach()
        alias.copy_(alias)
        return x * 2

    def step(x):
        square = weight * weight
        touch(x)
        square.sum().backward()

    return step


def _tensor_then_view(call):
    return ((gj.arange(4.0) + call)[1:] if call > 2 else gj.arange(3.0),)


@trap(arguments=_tensor_then_view, eager="an argument was detached")
def test_an_argument_detached_in_place():
    """Views cannot be detached in place: whether an argument is one shows."""

    def step(x):
        x.detach_()
        return x * 2

    return step


PAD = gj.zeros(4)


@pytest.mark.parametrize("is_pad", [
    lambda x: x is PAD, lambda x: any(x is each for each in [PAD]), lambda x: id(x) == id(PAD),
    lambda x: x in {PAD: 1},
], ids=["is", "is in a list", "id", "in"])  # fmt: skip
@trap(arguments=lambda call: (gj.zeros(4), PAD if call in (3, 4, 8) else gj.zeros(4)))
def test_arguments_that_are_known_by_other_names(is_pad):
    """A tensor that the function knows by another name is told from others as an argument."""
    return lambda x, other: (x + 1, other) if is_pad(other) else (x + 2, other)


WEIGHT = gj.ones(4, requires_grad=True)


@trap(arguments=lambda call: (WEIGHT if call % 3 == 2 else gj.ones(4, requires_grad=True),))
def test_an_argument_that_a_backward_tells_from_a_weight():
    """A gradient with respect to an argument is another one where that is a captured tensor."""

    def step(x):
        (grad,) = gj.autograd.grad((WEIGHT * 2).sum(), x, allow_unused=True)
        return 0 if grad is None else grad

    return step
