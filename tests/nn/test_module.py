"""`Module` against PyTorch's: members, state, hooks, copying, text and errors."""

import copy
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest

import graphjit
from graphjit import nn
from graphjit.frontend.state import VERSIONS


def _text(error):
    return str(error).split("\n  in ")[0].replace("graphjit.", "torch.")


def same(run):
    """The result (or error) of `run(library)`, which must be the same in both libraries."""
    torch = pytest.importorskip("torch")
    found = []
    for library in (graphjit, torch):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(run(library))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
            found.append((type(error), _text(error)))
    assert found[0] == found[1]
    return found[0]


def net(library):
    """A module with everything in it."""
    nn = library.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
            self.scale = nn.Parameter(library.ones(2))
            self.shared = self.layers[0]
            self.register_buffer("seen", library.zeros(1))
            self.register_buffer("scratch", library.zeros(1), persistent=False)
            self.register_parameter("nothing", None)
            self.number = 3

        def forward(self, x, factor=1):
            return self.layers(x) * factor

    return Net()


def names(pairs):
    return [name for name, _ in pairs]


# --- members ------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    lambda m: names(m.named_parameters()),
    lambda m: names(m.named_parameters(recurse=False)),
    lambda m: names(m.named_parameters("x", remove_duplicate=False)),
    lambda m: names(m.named_buffers()),
    lambda m: names(m.named_modules()),
    lambda m: names(m.named_modules(remove_duplicate=False)),
    lambda m: names(m.named_children()),
    lambda m: [type(c).__name__ for c in m.children()],
    lambda m: len(list(m.modules())),
    lambda m: list(m.state_dict()),
    lambda m: list(m.state_dict(prefix="a.")),
    lambda m: m.state_dict()._metadata[""],
    lambda m: repr(m),
    lambda m: [k for k in dir(m) if k in ("scale", "seen", "layers", "forward", "number")],
    lambda m: m.get_submodule("layers.0") is m.shared,
    lambda m: m.get_parameter("layers.0.weight") is m.shared.weight,
    lambda m: m.get_buffer("layers.1.running_mean") is m.layers[1].running_mean,
    lambda m: m.get_submodule("layers.7"),
    lambda m: m.get_submodule("scale"),
    lambda m: m.get_parameter("seen"),
    lambda m: m.get_buffer("scale"),
    lambda m: m.missing,
    lambda m: [p.requires_grad for p in m.requires_grad_(False).parameters()],
    lambda m: (m.eval().training, m.layers[1].training, m.train().layers[1].training),
    lambda m: m.train("yes"),
    lambda m: m.nothing,
    lambda m: sorted(k for k in m.state_dict(keep_vars=True) if m.state_dict(
        keep_vars=True)[k].requires_grad),
])  # fmt: skip
def test_looking(run):
    same(lambda library: run(net(library)))


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    lambda lib, m: setattr(m, "scale", 3),
    lambda lib, m: setattr(m, "scale", lib.ones(2)),
    lambda lib, m: setattr(m, "layers", "x"),
    lambda lib, m: setattr(m, "seen", "x"),
    lambda lib, m: m.register_parameter("scale.x", None),
    lambda lib, m: m.register_parameter("", None),
    lambda lib, m: m.register_parameter(3, None),
    lambda lib, m: m.register_parameter("number", None),
    lambda lib, m: m.register_parameter("forward", lib.nn.Parameter(lib.ones(1))),
    lambda lib, m: m.register_parameter("new", lib.ones(1)),
    lambda lib, m: m.register_buffer("number", lib.ones(1)),
    lambda lib, m: m.register_buffer("new", 3),
    lambda lib, m: m.register_buffer("a.b", None),
    lambda lib, m: m.add_module("a.b", None),
    lambda lib, m: m.add_module("", None),
    lambda lib, m: m.add_module("number", lib.nn.ReLU()),
    lambda lib, m: m.add_module("new", 3),
    lambda lib, m: m.add_module(3, lib.nn.ReLU()),
    lambda lib, m: delattr(m, "missing"),
    lambda lib, m: m.set_submodule("", lib.nn.ReLU()),
    lambda lib, m: m.set_submodule("new", lib.nn.ReLU(), strict=True),
    lambda lib, m: m.set_submodule("number", lib.nn.ReLU()),
    lambda lib, m: lib.nn.Module()(1),
    lambda lib, m: lib.nn.Module(3),
    lambda lib, m: lib.nn.Module(x=3),
])  # fmt: skip
def test_errors(run):
    result = same(lambda library: run(library, net(library)))
    assert isinstance(result, tuple) and issubclass(result[0], Exception)


@pytest.mark.parity
def test_members_before_init():
    def run(library, value):
        class Early(library.nn.Module):
            def __init__(self):
                self.member = value(library)

        return Early()

    same(lambda lib: run(lib, lambda lib: lib.nn.Parameter(lib.ones(1))))
    same(lambda lib: run(lib, lambda lib: lib.nn.ReLU()))


@pytest.mark.parity
@pytest.mark.parametrize("change", [
    lambda lib, m: setattr(m, "number", lib.nn.Parameter(lib.ones(1))),
    lambda lib, m: setattr(m, "number", lib.nn.ReLU()),
    lambda lib, m: setattr(m, "scale", None),
    lambda lib, m: setattr(m, "scale", lib.nn.ReLU()),
    lambda lib, m: setattr(m, "layers", None),
    lambda lib, m: setattr(m, "layers", lib.nn.Parameter(lib.ones(1))),
    lambda lib, m: setattr(m, "seen", None),
    lambda lib, m: setattr(m, "seen", lib.ones(2)),
    lambda lib, m: setattr(m, "scratch", lib.nn.Buffer(lib.ones(2))),
    lambda lib, m: setattr(m, "new", lib.nn.Buffer(lib.ones(2), persistent=False)),
    lambda lib, m: delattr(m, "scale"),
    lambda lib, m: delattr(m, "scratch"),
    lambda lib, m: delattr(m, "layers"),
    lambda lib, m: m.set_submodule("layers.0", lib.nn.Tanh()),
    lambda lib, m: m._modules.update(layers=lib.nn.Tanh()),
    lambda lib, m: m._modules.pop("conv"),
    lambda lib, m: m._parameters.clear(),
    lambda lib, m: m._parameters.__setitem__("scale", lib.nn.Parameter(lib.zeros(5))),
    lambda lib, m: m.apply(lambda x: setattr(x, "number", 1)),
    lambda lib, m: m.layers.append(lib.nn.Tanh()),
    lambda lib, m: m.layers.insert(1, lib.nn.Tanh()),
    lambda lib, m: m.layers.pop(0),
    lambda lib, m: m.layers.__delitem__(slice(0, 2)),
    lambda lib, m: m.layers.__setitem__(-1, lib.nn.Tanh()),
    lambda lib, m: m.layers.__imul__(2),
    lambda lib, m: m.layers.__iadd__(lib.nn.Sequential(lib.nn.Tanh())),
])  # fmt: skip
def test_changes(change):
    """Tables and attributes stay one."""

    def run(library):
        module = net(library)
        change(library, module)
        members = ("scale", "seen", "scratch", "layers", "conv", "number", "nothing", "new")
        kinds = [type(getattr(module, name, "missing")).__name__ for name in members]
        tables = [list(t) for t in (module._parameters, module._buffers, module._modules)]
        return repr(module), list(module.state_dict()), kinds, tables

    same(run)


def test_members_are_plain_attributes():
    module = net(graphjit)
    for table in (module._parameters, module._buffers, module._modules):
        for name, value in table.items():
            assert module.__dict__[name] is value


@pytest.mark.parametrize("change", [
    lambda m: setattr(m, "number", 4),
    lambda m: setattr(m, "scale", nn.Parameter(graphjit.ones(2))),
    lambda m: delattr(m, "number"),
    lambda m: m.eval(),
    lambda m: m.register_forward_hook(print),
    lambda m: m._modules.pop("conv"),
    lambda m: m.scale.requires_grad_(False),
    lambda m: m.double(),
])  # fmt: skip
def test_replays_are_told_of_changes(change):
    module = net(graphjit)
    before = VERSIONS.structure
    change(module)
    assert VERSIONS.structure > before


@pytest.mark.parametrize("no_change", [
    lambda m: setattr(m, "number", 3),
    lambda m: setattr(m, "scale", m.scale),
    lambda m: m.train(),
    lambda m: m.zero_grad(),
    lambda m: m.load_state_dict(m.state_dict()),
    lambda m: m(graphjit.ones(4, 2)),
])  # fmt: skip
def test_replays_are_not_told_of_what_is_no_change(no_change):
    module = net(graphjit)
    before = VERSIONS.structure
    no_change(module)
    assert VERSIONS.structure == before


# --- parameters ---------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    lambda lib: repr(lib.nn.Parameter(lib.ones(2))),
    lambda lib: repr(lib.nn.Parameter(lib.ones(2), requires_grad=False)),
    lambda lib: repr(lib.nn.Parameter()),
    lambda lib: lib.nn.Parameter(lib.ones(2).long()),
    lambda lib: isinstance(lib.nn.Parameter(lib.ones(2)), lib.Tensor),
    lambda lib: type(lib.nn.Parameter(lib.ones(2)) * 2).__name__,
    lambda lib: type(copy.deepcopy(lib.nn.Parameter(lib.ones(2)))).__name__,
    lambda lib: type(pickle.loads(pickle.dumps(lib.nn.Parameter(lib.ones(2))))).__name__,
])  # fmt: skip
def test_parameter(run):
    same(run)


def test_a_parameter_shares_its_data():
    data = graphjit.zeros(2)
    parameter = nn.Parameter(data)
    data.add_(1)
    assert parameter.tolist() == [1, 1]


# --- copying ------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [
    copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), copy.copy
])  # fmt: skip
def test_copies(duplicate):
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    module.add_module("again", module[0])
    other = duplicate(module)
    assert repr(other) == repr(module)
    assert other.again is other[0] and other[0].weight is other.again._parameters["weight"]
    x = graphjit.randn(4, 2)
    assert graphjit.equal(other[0](x), module[0](x))
    other[0] = nn.Tanh()
    assert isinstance(other._modules["0"], nn.Tanh) and isinstance(module[0], nn.Linear)


def test_a_deep_copy_has_tensors_of_its_own():
    module = nn.Linear(2, 3)
    other = copy.deepcopy(module)
    with graphjit.no_grad():
        other.weight.fill_(0)
    assert module.weight.abs().sum() > 0
    assert other.weight.requires_grad and other.weight.is_leaf


# --- conversion ---------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("convert", [
    lambda lib, m: m.double(), lambda lib, m: m.half(), lambda lib, m: m.to(lib.float64),
    lambda lib, m: m.to("cpu", lib.float64), lambda lib, m: m.to(lib.ones(1).double()),
    lambda lib, m: m.to(lib.int64), lambda lib, m: m.double().float(), lambda lib, m: m.cpu(),
    lambda lib, m: m.to(dtype=lib.float16), lambda lib, m: m.to(device="cpu"),
])  # fmt: skip
def test_conversion(convert):
    def run(library):
        module = net(library)
        weight = module.scale
        assert convert(library, module) is module
        assert module.scale is weight
        return [str(t.dtype).replace("graphjit", "torch") for t in module.state_dict().values()]

    same(run)


def test_conversion_keeps_gradients():
    layer = nn.Linear(2, 1)
    layer(graphjit.ones(1, 2)).sum().backward()
    layer.double()
    assert layer.weight.grad.dtype is graphjit.float64


# --- state --------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("edit", [
    lambda s: s, lambda s: s.pop("scale"), lambda s: s.update(extra=s["scale"]),
    lambda s: s.update({"layers.9.weight": s["scale"]}),
    lambda s: s.update(scale=s["layers.0.weight"]), lambda s: s.update(scale=[1.0]),
    lambda s: (s.pop("layers.0.weight"), s.update(more=1, scale=s["seen"])),
    lambda s: s.update(seen=s["seen"][0]),
])  # fmt: skip
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [True, False])
def test_loading(edit, strict, assign):
    def run(library):
        module = net(library)
        state = module.state_dict()
        edit(state)
        result = module.load_state_dict(state, strict=strict, assign=assign)
        return repr(result), result.missing_keys, result.unexpected_keys

    same(run)


@pytest.mark.parity
def test_loading_what_is_no_state():
    same(lambda library: net(library).load_state_dict(3))


def test_loading_copies_in_place():
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    weight, array = target.weight, target.weight._array
    target.load_state_dict(source.state_dict())
    assert target.weight is weight and weight._array is array
    assert graphjit.equal(source.weight, target.weight)


@pytest.mark.parity
def test_extra_state():
    def run(library):
        class Counted(library.nn.Module):
            count = 0

            def get_extra_state(self):
                return {"count": self.count}

            def set_extra_state(self, state):
                self.count = state["count"]

        first, second = Counted(), Counted()
        first.count = 5
        second.load_state_dict(first.state_dict())
        plain = library.nn.Module()
        return second.count, list(first.state_dict()), plain.load_state_dict(first.state_dict())

    same(run)


@pytest.mark.parity
def test_state_hooks():
    def run(library):
        seen = []
        module = library.nn.Linear(1, 1)
        module.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append(("pre", prefix)))
        module.register_state_dict_post_hook(lambda m, s, prefix, meta: seen.append(list(s)))
        module.register_load_state_dict_pre_hook(lambda m, s, *rest: seen.append(("load", len(s))))
        module.register_load_state_dict_post_hook(lambda m, keys: seen.append(repr(keys)))
        module.load_state_dict(module.state_dict(prefix=""))
        return seen

    same(run)


# --- hooks --------------------------------------------------------------------------------------


def _linear(library):
    layer = library.nn.Linear(2, 2)
    with library.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(0.25)
    return layer


@pytest.mark.parity
def test_forward_hooks():
    def run(library):
        seen = []
        layer = _linear(library)
        x = library.ones(1, 2)
        layer.register_forward_pre_hook(lambda m, args: seen.append("pre"))
        layer.register_forward_pre_hook(lambda m, args: args[0] * 2, prepend=True)
        layer.register_forward_hook(lambda m, args, out: seen.append(args[0].tolist()))
        handle = layer.register_forward_hook(lambda m, args, out: out + 1)
        layer.register_forward_hook(
            lambda m, args, kwargs, out: seen.append(sorted(kwargs)), with_kwargs=True
        )
        first = layer(x).tolist()
        handle.remove()
        handle.remove()
        return first, layer(input=x).tolist() if False else layer(x).tolist(), seen

    same(run)


@pytest.mark.parity
def test_hooks_that_change_keywords():
    def run(library):
        module = net(library).eval()
        module.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"factor": 0}), with_kwargs=True
        )
        return module(library.ones(1, 2), factor=5).abs().sum().item()

    same(run)


@pytest.mark.parity
def test_hooks_called_in_spite_of_an_error():
    def run(library):
        seen = []
        layer = _linear(library)
        layer.register_forward_hook(lambda m, a, o: seen.append("never"))
        layer.register_forward_hook(lambda m, a, o: seen.append(o), always_call=True)
        with pytest.raises(RuntimeError):
            layer(library.ones(1, 3))
        return seen

    same(run)


@pytest.mark.parity
def test_many_hooks_whose_handles_are_dropped():
    """A hook took the place of another whose handle, gone by then, had had the same address."""

    def run(library):
        seen = []
        layer = _linear(library)
        for k in range(50):
            layer.register_forward_hook(lambda m, a, o, k=k: seen.append(k))
        layer(library.ones(1, 2))
        return seen

    assert same(run) == list(range(50))


def _gradients(grads):
    return [None if g is None else g.tolist() for g in grads]


@pytest.mark.parity
@pytest.mark.parametrize("needs_input_grad", [True, False])
@pytest.mark.parametrize("replace", [True, False])
def test_full_backward_hooks(needs_input_grad, replace):
    def run(library):
        seen = []
        layer = _linear(library)

        def hook(module, grad_input, grad_output):
            seen.append((_gradients(grad_input), _gradients(grad_output)))
            if replace and needs_input_grad:
                return (grad_input[0] * 10,)
            return None

        layer.register_full_backward_hook(hook)
        layer.register_full_backward_pre_hook(
            lambda m, grad_output: (grad_output[0] * 2,) if replace else None
        )
        x = library.ones(1, 2, requires_grad=needs_input_grad)
        out = layer(x)
        assert type(out.grad_fn).__name__.startswith("BackwardHookFunction")
        out.sum().backward()
        return seen, layer.weight.grad.tolist(), None if x.grad is None else x.grad.tolist()

    same(run)


@pytest.mark.parity
def test_backward_hooks_of_both_kinds_do_not_mix():
    def run(library):
        layer = _linear(library)
        layer.register_backward_hook(print)
        return layer.register_full_backward_hook(print)

    same(run)


@pytest.mark.parity
def test_hooks_of_all_modules():
    def run(library):
        seen = []
        register = library.nn.modules.module.register_module_forward_hook
        handle = register(lambda m, args, out: seen.append(type(m).__name__))
        library.nn.Sequential(_linear(library), library.nn.ReLU())(library.ones(1, 2))
        handle.remove()
        _linear(library)(library.ones(1, 2))
        return seen

    same(run)


def test_a_forward_hook_is_seen_by_a_replay():
    layer = nn.Linear(2, 2)
    step = graphjit.trace(lambda x: layer(x).detach())
    before = graphjit.config.override("BACKEND", "interp")
    try:
        x = graphjit.ones(1, 2)
        plain = [step(x) for _ in range(3)][-1]
        handle = layer.register_forward_hook(lambda m, args, out: out + 1)
        hooked = [step(x) for _ in range(3)][-1]
        handle.remove()
        after = step(x)
    finally:
        graphjit.config.override("BACKEND", before)
    np.testing.assert_allclose(hooked.numpy(), plain.numpy() + 1)
    np.testing.assert_allclose(after.numpy(), plain.numpy())


# --- containers ---------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    lambda nn: nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh())),
    lambda nn: nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))[1:],
    lambda nn: nn.Sequential(nn.ReLU(), nn.Tanh())[-1],
    lambda nn: nn.Sequential(nn.ReLU())[4],
    lambda nn: nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh()),
    lambda nn: nn.Sequential(nn.ReLU()) + [nn.Tanh()],
    lambda nn: nn.Sequential(nn.ReLU()) * 3,
    lambda nn: nn.Sequential(nn.ReLU()) * 0,
    lambda nn: nn.Sequential(nn.ReLU()).extend([nn.Tanh()]),
    lambda nn: nn.Sequential(nn.ReLU()).insert(0, 3),
    lambda nn: nn.Sequential(nn.ReLU()).insert(9, nn.Tanh()),
    lambda nn: nn.Sequential(3),
    lambda nn: len(nn.Sequential(nn.ReLU(), nn.Tanh())),
    lambda nn: [k for k in dir(nn.Sequential(nn.ReLU())) if k.isdigit()],
    lambda nn: nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.ReLU()]),
    lambda nn: nn.ModuleList(),
    lambda nn: nn.ModuleList([nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())]),
    lambda nn: nn.ModuleList([nn.ReLU(), nn.Tanh()])[::-1],
    lambda nn: nn.ModuleList([nn.ReLU(), nn.Tanh()])[7],
    lambda nn: nn.ModuleList([nn.ReLU()]) + [nn.Tanh()],
    lambda nn: nn.ModuleList([nn.ReLU()]).extend(3),
    lambda nn: nn.ModuleList([nn.ReLU()])(1),
    lambda nn: nn.ModuleList([nn.ReLU(), nn.Tanh()]).pop(0),
    lambda nn: nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()}),
    lambda nn: nn.ModuleDict([("a", nn.ReLU())]),
    lambda nn: list(nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()}).keys()),
    lambda nn: nn.ModuleDict({"a": nn.ReLU()})["b"],
    lambda nn: nn.ModuleDict({"a": nn.ReLU()}).pop("a"),
    lambda nn: "a" in nn.ModuleDict({"a": nn.ReLU()}),
    lambda nn: nn.ModuleDict(3),
])  # fmt: skip
def test_containers(run):
    def shown(library):
        result = run(library.nn)
        return repr(result) if isinstance(result, library.nn.Module) else result

    same(shown)


@pytest.mark.parity
@pytest.mark.parametrize("run", [
    lambda lib: lib.nn.ParameterList([lib.ones(2), lib.nn.Parameter(lib.ones(2, 3)), 5]),
    lambda lib: names(lib.nn.ParameterList([lib.ones(2), lib.ones(3)]).named_parameters()),
    lambda lib: len(lib.nn.ParameterList([lib.ones(2)]).append(lib.ones(1))),
    lambda lib: lib.nn.ParameterList([lib.ones(2)])[3],
    lambda lib: lib.nn.ParameterList([lib.ones(2), lib.zeros(2)])[1].tolist(),
    lambda lib: lib.nn.ParameterList(3),
    lambda lib: lib.nn.ParameterDict({"a": lib.ones(2), "b": lib.ones(2, 3)}),
    lambda lib: names(lib.nn.ParameterDict({"a": lib.ones(2)}).named_parameters()),
    lambda lib: list(lib.nn.ParameterDict({"a": lib.ones(2)}).keys()),
    lambda lib: lib.nn.ParameterDict({"a": lib.ones(2)})["b"],
])  # fmt: skip
def test_parameter_containers(run):
    def shown(library):
        result = run(library)
        text = repr(result) if isinstance(result, library.nn.Module) else result
        return text.replace("graphjit", "torch") if isinstance(text, str) else text

    same(shown)
