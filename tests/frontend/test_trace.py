"""A traced function does what the same Python would have done eagerly."""

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim
from graphjit.nn import functional as F

pytestmark = pytest.mark.filterwarnings("error")


def training(model, optimizer, criterion=None):
    criterion = criterion or nn.MSELoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def small_model():
    gj.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def batches(count, size=6):
    rng = np.random.default_rng(0)
    for _ in range(count):
        x = gj.from_numpy(rng.standard_normal((size, 4)).astype(np.float32))
        yield x, gj.from_numpy(rng.standard_normal((size, 2)).astype(np.float32))


def pair(make_optimizer, model=None):
    """The same training step eagerly and traced, with the models and optimizers of each."""
    model = model or small_model()
    twin = copy.deepcopy(model)
    optimizers = make_optimizer(model.parameters()), make_optimizer(twin.parameters())
    eager = training(model, optimizers[0])
    traced = gj.trace(training(twin, optimizers[1]))
    return eager, traced, (model, twin), optimizers


def assert_same_state(models, tolerance=1e-6):
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tolerance, tolerance)
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), tolerance, 1e-5)


OPTIMIZERS = {
    "sgd": functools.partial(optim.SGD, lr=0.1),
    "momentum": functools.partial(optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "adam": functools.partial(optim.Adam, lr=0.01),
    "adamw": functools.partial(optim.AdamW, lr=0.01, weight_decay=0.1),
    "rmsprop": functools.partial(optim.RMSprop, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_equals_eager_training(name):
    eager, traced, models, _ = pair(OPTIMIZERS[name])
    for x, y in batches(8):
        np.testing.assert_allclose(eager(x, y).item(), traced(x, y).item(), 1e-5)
        assert_same_state(models)
    assert traced.stats()["variants"] == 1
    assert traced.stats()["host_calls"] == 0
    assert traced.stats()["replays"] >= 6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_changed_learning_rate_is_used_without_a_recompile(name):
    eager, traced, models, optimizers = pair(OPTIMIZERS[name])
    for i, (x, y) in enumerate(batches(10)):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.02 / (1 + i)
        eager(x, y), traced(x, y)
        assert_same_state(models)
    assert traced.stats()["variants"] == 1


def test_a_scheduler_between_calls_needs_no_recompile():
    eager, traced, models, optimizers = pair(OPTIMIZERS["adam"])
    schedulers = [optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.5) for o in optimizers]
    for x, y in batches(8):
        eager(x, y), traced(x, y)
        for scheduler in schedulers:
            scheduler.step()
        assert_same_state(models)
    assert traced.stats()["variants"] == 1


def test_a_scheduler_inside_the_step_moves_on_at_every_replay():
    models, steps = [small_model(), small_model()], []
    for model in models:
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        inner = training(model, optimizer)

        def step(x, y, inner=inner, scheduler=scheduler):
            loss = inner(x, y)
            scheduler.step()
            return loss

        steps.append(step)
    eager, traced = steps[0], gj.trace(steps[1])
    for x, y in batches(5):
        eager(x, y), traced(x, y)
        assert_same_state(models)
    assert traced.stats()["replays"] == 4


def test_weight_decay_that_becomes_nonzero_is_seen():
    eager, traced, models, optimizers = pair(OPTIMIZERS["sgd"])
    for i, (x, y) in enumerate(batches(6)):
        for optimizer in optimizers:
            optimizer.param_groups[0]["weight_decay"] = 0.0 if i < 3 else 0.1 * i
        eager(x, y), traced(x, y)
        assert_same_state(models)
    assert traced.stats()["variants"] == 2


def test_eval_mode_between_calls_is_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            x = self.linear(x)
            return x if self.training else -x

    gj.manual_seed(0)
    model = Net()
    forward = gj.trace(lambda x: model(x).detach())
    x = gj.ones(2, 4)
    for train in (True, True, False, False, True, False):
        model.train(train)
        np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    assert forward.stats()["variants"] == 2


def test_dropout_is_drawn_anew_and_as_in_eager_code():
    x = gj.ones(5, 7)
    drop = gj.trace(lambda x: F.dropout(x, 0.5, training=True))
    gj.manual_seed(1)
    eager = [F.dropout(x, 0.5, training=True).numpy() for _ in range(4)]
    gj.manual_seed(1)
    traced = [drop(x).numpy() for _ in range(4)]
    np.testing.assert_array_equal(eager, traced)
    assert len({a.tobytes() for a in traced}) == 4


def test_a_global_that_changes_is_seen():
    scale = gj.trace(lambda x: x * FACTOR)
    global FACTOR
    for FACTOR in (2.0, 2.0, 3.0, 3, True):
        assert scale(gj.ones(2)).tolist() == (gj.ones(2) * FACTOR).tolist()


def test_a_closure_cell_and_a_list_that_change_are_seen():
    factor, shifts = 2.0, [1.0]

    @gj.trace
    def affine(x):
        return x * factor + shifts[0]

    x = gj.ones(2)
    assert affine(x).tolist() == affine(x).tolist() == [3, 3]
    factor = 5.0
    assert affine(x).tolist() == [6, 6]
    shifts[0] = 10.0
    assert affine(x).tolist() == [15, 15]


def test_a_layer_that_is_swapped_is_seen():
    model = small_model()
    forward = gj.trace(lambda x: model(x).detach())
    x = gj.ones(3, 4)
    for _ in range(2):
        np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    model[2] = nn.Linear(8, 2)
    np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    model.load_state_dict(small_model().state_dict())
    np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    model[0].weight.data = gj.zeros(8, 4)
    np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    assert forward.stats()["replays"] >= 1


def test_a_new_batch_size_is_a_new_variant_and_compiles_no_kernel():
    from graphjit.runtime import cache

    _, traced, *_ = pair(OPTIMIZERS["sgd"])
    for x, y in batches(2, 6):
        traced(x, y)
    before = cache.stats().compiled
    for size in (5, 9, 12):
        for x, y in batches(2, size):
            traced(x, y)
    assert cache.stats().compiled == before
    assert traced.stats()["variants"] == 4


@pytest.mark.parametrize("bad", ["shape", "dtype"])
@pytest.mark.parametrize("calls_before", [0, 3])
def test_wrong_arguments_raise_as_eager_and_change_nothing(bad, calls_before):
    eager, traced, (_, model), _ = pair(OPTIMIZERS["adam"])
    for x, y in batches(calls_before):
        traced(x, y)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = gj.ones(6, 5) if bad == "shape" else gj.ones(6, 4, dtype=gj.float64)
    messages = []
    for step in (eager, traced):
        with pytest.raises(RuntimeError) as caught:
            step(x, gj.ones(6, 2))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "test_trace.py" in messages[0] and "model(x)" in messages[0]
    expected = "cannot be multiplied (6x5 and 4x8)" if bad == "shape" else "same dtype"
    assert expected in messages[0]
    for k, v in model.state_dict().items():
        assert gj.equal(v, before[k])
    for x, y in batches(2):
        traced(x, y)


def test_a_label_out_of_range_raises_in_a_replay_and_changes_nothing():
    gj.manual_seed(0)
    model = nn.Linear(4, 3)
    step = gj.trace(training(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()))
    x, y = gj.ones(5, 4), gj.tensor([0, 1, 2, 0, 1])
    for _ in range(3):
        step(x, y)
    before = model.weight.detach().clone()
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        step(x, gj.tensor([0, 1, 3, 0, 1]))
    assert gj.equal(model.weight, before)
    step(x, y)
    assert not gj.equal(model.weight, before)


def test_gradients_accumulate_over_calls():
    models = [small_model(), small_model()]

    def accumulate(model, x, y):
        F.mse_loss(model(x), y).backward()

    traced = gj.trace(accumulate)
    for x, y in batches(5):
        accumulate(models[0], x, y), traced(models[1], x, y)
        assert_same_state(models)
    for model in models:
        model.zero_grad()
    for x, y in batches(3):
        accumulate(models[0], x, y), traced(models[1], x, y)
        assert_same_state(models)
    assert traced.stats()["variants"] == 2


def test_gradient_clipping_inside_the_step():
    models = [small_model(), small_model()]
    steps = []
    for model in models:
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            return loss

        steps.append(step)
    traced = gj.trace(steps[1])
    for x, y in batches(4):
        steps[0](x, y), traced(x, y)
        assert_same_state(models)
    assert traced.stats()["replays"] == 3


def test_results_stay_valid_after_later_calls():
    double = gj.trace(lambda x: (x * 2, x + 1))
    results = [double(gj.full((3,), float(i))) for i in range(5)]
    for i, (a, b) in enumerate(results):
        assert a.tolist() == [2.0 * i] * 3 and b.tolist() == [i + 1.0] * 3


def test_arguments_written_in_place():
    def update(x, y):
        x.mul_(2).add_(y)
        x[0] = 7.0
        y[1:3] += 1
        return x.sum()

    traced = gj.trace(update)
    states = [[gj.ones(4), gj.arange(4.0)] for _ in range(2)]
    for _ in range(4):
        results = [f(*state) for f, state in zip((update, traced), states, strict=True)]
        assert results[0].item() == results[1].item()
        assert [t.tolist() for t in states[0]] == [t.tolist() for t in states[1]]
    assert traced.stats()["replays"] == 3


def test_writes_through_views():
    def shuffle(x):
        row = x[1]
        column = x.t()[0]
        row += 10
        column *= 2
        x.view(-1)[3:5] = -1.0
        return row.clone(), column.clone(), x * 1

    traced = gj.trace(shuffle)
    states = [gj.arange(12.0).view(3, 4).clone() for _ in range(2)]
    for _ in range(3):
        a, b = shuffle(states[0]), traced(states[1])
        for left, right in zip((*a, states[0]), (*b, states[1]), strict=True):
            assert left.tolist() == right.tolist()
    assert traced.stats()["replays"] == 2


def test_the_same_tensor_twice_and_overlapping_arguments():
    def add(x, y):
        x += y
        return x * 1

    traced = gj.trace(add)
    def same():
        return (gj.ones(4),) * 2

    def overlapping():
        base = gj.arange(4.0)
        return base[:3], base[1:]

    def apart():
        return gj.ones(3), gj.ones(3)

    for make in (same, overlapping, apart) * 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, got = (f(*make()).tolist() for f in (add, traced))
        assert expected == got


def test_results_that_are_arguments_or_views_of_them():
    @gj.trace
    def same(x):
        x += 1
        return x, x[1:], x.t()

    for _ in range(3):
        x = gj.zeros(2, 2)
        a, b, c = same(x)
        assert a is x
        b.fill_(5)
        assert x.tolist() == [[1, 1], [5, 5]] and c.tolist() == [[1, 5], [1, 5]]


def test_non_contiguous_arguments():
    def f(x):
        return (x * 2).sum(0) + x[0] - x.t().reshape(-1)[: x.shape[1]]

    traced = gj.trace(f)
    base = gj.arange(24.0).view(4, 6)
    views = (base[:, ::2], base.t(), base[::2], base[1:3, 2:5], gj.ones(1, 3).expand(4, 3))
    for x in (*views, *views):
        np.testing.assert_allclose(traced(x).numpy(), f(x).numpy(), 1e-6)
    assert traced.stats()["replays"] == len(views)


def test_a_function_that_shows_an_array_to_python_runs_eagerly_and_says_why():
    @gj.trace
    def through_numpy(x):
        return gj.from_numpy(np.sort(x.numpy()))

    with pytest.warns(UserWarning, match=r"numpy runs eagerly.*test_trace\.py.*x\.numpy\(\)"):
        assert through_numpy(gj.tensor([2.0, 1.0])).tolist() == [1, 2]
    assert through_numpy(gj.tensor([4.0, 3.0])).tolist() == [3, 4]
    assert "numpy()" in through_numpy.explain()


def test_an_exception_of_the_users_own_passes_through():
    class Custom(Exception):
        pass

    @gj.trace
    def fail(x, wrong):
        if wrong:
            raise Custom("no")
        return x + 1

    assert fail(gj.ones(1), False).item() == 2
    for _ in range(2):
        with pytest.raises(Custom):
            fail(gj.ones(1), True)
        assert fail(gj.ones(1), False).item() == 2


def test_custom_functions_hooks_and_double_backward_are_captured():
    class Cube(gj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    def penalty(w, x):
        y = (Cube.apply(w) * x).sum()
        (g,) = gj.autograd.grad(y, w, create_graph=True)
        (g**2).sum().backward()
        return y.detach()

    traced = gj.trace(penalty)
    ws = [gj.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    for scale in (1.0, 2.0, 3.0):
        x = gj.full((2,), scale)
        for f, w in zip((penalty, traced), ws, strict=True):
            w.grad = None
            f(w, x)
        np.testing.assert_allclose(ws[0].grad.numpy(), ws[1].grad.numpy(), 1e-5)


def test_methods_of_two_instances_stay_apart():
    class Scaler:
        def __init__(self, factor):
            self.factor = factor

        @gj.trace
        def scale(self, x):
            return x * self.factor

    two, three = Scaler(2.0), Scaler(3.0)
    for _ in range(2):
        assert two.scale(gj.ones(1)).item() == 2
        assert three.scale(gj.ones(1)).item() == 3
    two.factor = 7.0
    assert two.scale(gj.ones(1)).item() == 7


def test_nested_arguments_and_results():
    @gj.trace
    def f(items, options, *, flag=True):
        total = sum(items) if flag else items[0]
        return {"total": total, "parts": [total * k for k in options["factors"]]}

    a, b = gj.ones(2), gj.full((2,), 3.0)
    for factors in ((1, 2), (1, 2), (5,)):
        for flag in (True, False):
            out = f([a, b], {"factors": factors}, flag=flag)
            expected = [4.0, 4.0] if flag else [1.0, 1.0]
            assert out["total"].tolist() == expected
            parts = [[k * e for e in expected] for k in factors]
            assert [p.tolist() for p in out["parts"]] == parts


def test_no_grad_around_the_call_is_seen():
    w = gj.ones(2, requires_grad=True)
    f = gj.trace(lambda: (w * 2).detach())
    for _ in range(2):
        assert f().tolist() == [2, 2]
        with gj.no_grad():
            assert f().tolist() == [2, 2]


def test_the_loss_of_a_replay_is_on_a_used_up_tape():
    _, traced, *_ = pair(OPTIMIZERS["sgd"])
    losses = [traced(x, y) for x, y in batches(3)]
    for loss in losses:
        assert loss.requires_grad and repr(loss.grad_fn).startswith("<MseLossBackward0")
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()


def test_gradients_of_a_replay_are_the_callers_to_keep():
    _, traced, (_, model), _ = pair(OPTIMIZERS["sgd"])
    kept = []
    for x, y in batches(4):
        traced(x, y)
        kept.append((model[0].weight.grad, model[0].weight.grad.clone()))
    assert len({id(g) for g, _ in kept}) == 4
    for grad, copy_ in kept:
        assert gj.equal(grad, copy_)


def test_trace_of_a_tensor_is_the_sum_of_its_diagonal():
    assert gj.trace(gj.arange(9.0).view(3, 3)).item() == 12


def test_trace_with_parentheses_and_without_a_function():
    @gj.trace()
    def f(x):
        return x + 1

    assert f(gj.ones(1)).item() == f(gj.ones(1)).item() == 2
    with pytest.raises(TypeError, match="takes a function"):
        gj.trace(3)


def run_debug(tmp_path, level, capsys, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_DEBUG", str(level))
    monkeypatch.setenv("GRAPHJIT_DUMP", str(tmp_path))
    model = small_model()
    step = gj.trace(training(model, optim.SGD(model.parameters(), lr=0.1)))
    before = model[0].weight.detach().clone()
    base = gj.ones(12, 8)
    step(base[::2, ::2], gj.ones(6, 2))
    monkeypatch.setenv("GRAPHJIT_DEBUG", "0")
    twin = small_model()
    training(twin, optim.SGD(twin.parameters(), lr=0.1))(base[::2, ::2], gj.ones(6, 2))
    assert not gj.equal(before, twin[0].weight)
    np.testing.assert_allclose(model[0].weight.detach().numpy(), twin[0].weight.detach().numpy())
    return capsys.readouterr().err


def test_debug_levels_print_more_and_more_and_change_nothing(tmp_path, capsys, monkeypatch):
    texts = [run_debug(tmp_path, level, capsys, monkeypatch) for level in range(6)]
    assert texts[0] == ""
    assert "first call: recorded in" in texts[1] and "compiled in" in texts[1]
    assert "of limit" in texts[2] and "of limit" not in texts[1]
    assert "fuse" in texts[3]
    assert "def kernel(table, begin, end):" in texts[4]
    assert "after decompose" in texts[5]


def test_dumped_graphs_are_python_and_kernels_are_kept(tmp_path, capsys, monkeypatch):
    run_debug(tmp_path, 0, capsys, monkeypatch)
    graphs, kernels = sorted(tmp_path.glob("graph*.py")), list(tmp_path.glob("kernel*.py"))
    assert graphs and kernels
    for path in (*graphs, *kernels):
        compile(path.read_text(), path, "exec")


def test_disabled_tracing_runs_the_function(monkeypatch):
    monkeypatch.setenv("GRAPHJIT_DISABLE", "1")
    step = gj.trace(lambda x: x + 1)
    assert step(gj.ones(1)).item() == 2
    assert step.stats()["recordings"] == 0


def test_explain_tells_variants_kernels_and_why_each_was_recorded():
    _, traced, *_ = pair(OPTIMIZERS["sgd"])
    for size in (6, 5):
        for x, y in batches(2, size):
            traced(x, y)
    text = traced.explain()
    assert "2 compiled variant(s)" in text and "0 host calls" in text
    assert "tensor 0: shape was (6, 4), is (5, 4)" in text
    assert all("def kernel" in source for source in traced.kernels().values())
    assert traced.graph is not None and "fused" in {node.op.name for node in traced.graph.nodes}


def test_a_forward_that_is_replaced_is_seen():
    """A bound method was guarded by nothing, so a replay ran the old forward."""
    model = small_model()
    forward = gj.trace(lambda x: model(x).detach())
    x = gj.ones(3, 4)
    for _ in range(2):
        forward(x)
    model[0].forward = lambda x: gj.zeros(3, 8)
    np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)
    del model[0].forward
    np.testing.assert_allclose(forward(x).numpy(), model(x).detach().numpy(), 1e-6)


def test_an_array_made_inside_the_function_is_not_frozen():
    """from_numpy inside a traced function was captured once, and replayed with old elements."""
    count = iter(range(100))

    @gj.trace
    def f(x):
        return x + gj.from_numpy(np.full(2, float(next(count)), np.float32))

    with pytest.warns(UserWarning, match="an array, whose elements Python can change"):
        assert f(gj.ones(2)).tolist() == [1, 1]
    assert f(gj.ones(2)).tolist() == [2, 2]


def test_an_index_out_of_range_raises_in_a_replay_and_changes_nothing():
    """A call on the host that failed after an update left the update behind."""
    table = gj.zeros(4, requires_grad=True)
    optimizer = optim.SGD([table], lr=1.0)

    @gj.trace
    def step(index):
        optimizer.zero_grad()
        loss = table.sum()
        loss.backward()
        optimizer.step()
        return table.detach()[index]

    for _ in range(3):
        step(gj.tensor([0, 1]))
    before = table.detach().clone()
    with pytest.raises(IndexError, match="out of bounds"):
        step(gj.tensor([0, 9]))
    assert gj.equal(table, before - 1)


@gj.trace
def module_level(x):
    return x + 1


class Method(nn.Module):
    scale = 2.0

    @gj.trace
    def forward(self, x):
        return x * self.scale


def test_traced_functions_and_modules_are_copied_and_pickled():
    model = Method()
    model.extra = gj.trace(lambda x: x * 3)
    for _ in range(3):
        assert model(gj.ones(2)).tolist() == [2, 2] and model.extra(gj.ones(2)).tolist() == [3, 3]
    twin = copy.deepcopy(model)
    twin.scale = 5.0
    for _ in range(3):
        assert twin(gj.ones(2)).tolist() == [5, 5] and twin.extra(gj.ones(2)).tolist() == [3, 3]
        assert model(gj.ones(2)).tolist() == [2, 2]
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    del model.extra
    again = pickle.loads(pickle.dumps(model))
    assert again(gj.ones(2)).tolist() == [2, 2]


def test_each_replay_can_be_checked_against_eager_code(monkeypatch):
    monkeypatch.setenv("GRAPHJIT_CHECK", "3")
    eager, traced, models, _ = pair(OPTIMIZERS["adam"])
    for x, y in batches(5):
        assert eager(x, y).item() == traced(x, y).item()
        assert_same_state(models, 0)
    assert traced.stats()["replays"] == 4

    class Wrong(gj.nn.Module):
        hidden = 0.0

        def forward(self, x):
            return x * self.hidden

    wrong = Wrong()
    forward = gj.trace(lambda x: wrong(x))
    forward(gj.ones(2))
    object.__setattr__(wrong, "hidden", 1.0)  # by a way that no guard sees
    with pytest.raises(gj.errors.VerifyError, match="where eager code gives"):
        forward(gj.ones(2))
