"""Attributes of tensors

What users hang on tensors and parameters, or define in subclasses of these, is what it is at each
call. What a call itself hangs on a tensor that others see makes it run eagerly.
"""

import types

import pytest

import graphjit as gj
from graphjit import nn

from .harness import four_numbers, traced, trap


class Scaled(nn.Parameter):
    """A parameter of a class that has attributes of its own."""

    scale = 1.0

    @property
    def twice(self):
        return 2 * self.scale


def parameter(cls=nn.Parameter, **attributes):
    """A parameter that a user has hung attributes on."""
    made = cls(gj.ones(4))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@trap
def test_attributes_of_parameters():
    """Attributes that users hang on parameters are read anew."""
    weight = parameter(lr_mult=1.0)

    def change(n):
        weight.lr_mult = float(n)

    return lambda x: x * weight.lr_mult, change


@trap
def test_attributes_of_parameters_of_modules():
    """So are those of parameters of modules, which are found by walking through these."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for each in model.parameters():
        each.decays = each.ndim > 1

    def change(n):
        model[n % 2].weight.decays = n % 3 == 0

    return lambda x: x + sum(p.sum() for p in model.parameters() if p.decays), change


@trap(calls=12)
def test_attributes_of_parameters_of_optimizers():
    """An optimizer's parameters are tensors whose attributes are seen too."""
    optimizer = gj.optim.SGD([parameter(lr_mult=1.0), parameter(lr_mult=2.0)], lr=0.1)

    def change(n):
        optimizer.param_groups[0]["params"][1].lr_mult = float(n)

    def step(x):
        found = optimizer.param_groups[0]["params"]
        return x * sum(p.lr_mult for p in found)

    return step, change


@trap(replays=2)
def test_attributes_that_tensors_get_later():
    """A tensor gets an attribute that was looked for before, and loses it again."""
    weight = parameter()

    def change(n):
        if n % 2:
            weight.scale = float(n)
        else:
            del weight.scale

    return lambda x: x * getattr(weight, "scale", 0.5), change


@trap(replays=2)
def test_errors_that_tell_of_attributes():
    """Whether a tensor has an attribute is also told by errors."""
    weight = parameter()

    def change(n):
        weight.scale = float(n)

    def step(x):
        try:
            return x * weight.scale
        except AttributeError:
            return x

    return step, change


@trap
def test_objects_hung_on_tensors():
    """Objects, containers and tensors hung on a tensor are what they are now."""
    weight = parameter(info=types.SimpleNamespace(scale=1.0), sizes=[1], other=gj.ones(4))

    def change(n):
        weight.info.scale = float(n)
        weight.sizes.append(n)
        weight.other = gj.full((4,), float(n))

    return lambda x: x * weight.info.scale + sum(weight.sizes) + weight.other, change


@trap(every=3)
def test_the_dict_of_a_tensor():
    """All that is hung on a tensor is read anew where the code looks at its `__dict__`."""
    weight = parameter(scale=1.0)

    def change(n):
        if n == 2:
            weight.shift = 1.0
        weight.scale = float(n)

    return lambda x: x * vars(weight)["scale"] + ("shift" in weight.__dict__), change


@trap
def test_attributes_of_parameter_classes():
    """Attributes and properties of a user's subclass of `Parameter`, and of its instances."""
    weight, other = parameter(Scaled), parameter(Scaled, scale=3.0)

    def change(n):
        (Scaled if n % 2 else other).scale = 1.0 + n
        if n == 4:
            weight.scale = 7.0

    def step(x):
        return x * weight.twice + other.twice

    Scaled.scale = 1.0
    return step, change


@pytest.mark.parametrize("make", [
    lambda x: nn.Parameter(x * 2), nn.Parameter, lambda x: Scaled(x * 2),
], ids=["parameter", "parameter of the argument", "subclass"])  # fmt: skip
@trap(replays=0, eager="a (Parameter|Scaled) that the call makes|shares memory")
def test_parameters_that_are_returned(make):
    """A tensor that a call makes and returns has the class it was made with in every call."""
    step = traced(lambda x: [make(x)])
    return lambda x: [type(each) for each in step(x)]


@trap(replays=0, eager="every call changes Parameter.momentum")
def test_state_carried_on_a_tensor():
    """A call that hangs a tensor on a parameter runs eagerly."""
    weight = parameter()

    def step(x):
        before = getattr(weight, "momentum", None)
        weight.momentum = x.clone() if before is None else before * 0.5 + x
        return weight.momentum

    return step


@trap(replays=0, eager="every call changes Tensor.total")
def test_attributes_hung_on_arguments():
    """A call that hangs something on its argument runs eagerly."""

    def step(x):
        x.total = x.sum()
        return x * 2

    return step


def scaled_numbers(call):
    """An argument on which its user has hung a number."""
    (x,) = four_numbers(call)
    x.scale = float(call)
    return (x,)


@trap(arguments=scaled_numbers, replays=0, eager="Tensor.scale is an attribute of an argument")
def test_attributes_of_arguments():
    """An attribute of an argument is that of the very tensor that is given."""
    return lambda x: x * x.scale


def sometimes_scaled_numbers(call):
    """The same, but for the first calls."""
    return four_numbers(call) if call < 4 else scaled_numbers(call)


@trap(arguments=sometimes_scaled_numbers, replays=3, eager="an attribute of an argument")
def test_attributes_that_arguments_lack():
    """A function that asks whether its argument has an attribute is told of each argument anew."""
    return lambda x: x * getattr(x, "scale", 0.5)


@trap(replays=0, eager="is looked for")
def test_attributes_that_gradients_lack():
    """What is asked of the gradient that is there now is no matter of another one."""
    weight = parameter()

    def step(x):
        if weight.grad is None:
            (weight * x).sum().backward()
            return x
        if not hasattr(weight.grad, "age"):
            weight.grad.age = 0.0
        weight.grad.age += 1.0
        return x * weight.grad.age

    return step


@trap(replays=0, eager="leaves it with an attribute 'total'")
def test_attributes_of_results():
    """What a call hangs on the tensors that it returns is there after each."""

    def step(x):
        made = x * 2
        made.total = x.sum()
        return made

    return step


@trap
def test_attributes_that_patterns_match():
    """A `case` clause tells whether a tensor has an attribute, and which."""
    weight = parameter()

    def change(n):
        weight.scale = float(n)

    def step(x):
        match weight:
            case gj.Tensor(scale=scale):
                return x * scale
        return x

    return step, change


@trap(replays=0, eager="holds a tensor with attributes")
def test_attributes_of_tensors_that_are_exchanged():
    """A tensor that a call puts in the place of another has not got the attributes of that."""
    model = nn.Module()
    model.hidden = gj.ones(4)

    def change(n):
        if n == 2:
            model.hidden.scale = 3.0

    def step(x):
        made = model.hidden * x * getattr(model.hidden, "scale", 2.0)
        model.hidden = model.hidden * 1.5
        return made

    return step, change


@trap(replays=0)
def test_attributes_that_are_read_beside_another_function():
    """A function that reads a tensor which another one exchanges sees the attributes of that."""
    model = nn.Module()
    model.hidden = gj.ones(4)

    @traced
    def advance(x):
        model.hidden = model.hidden * 0.5 + x

    @traced
    def read(x):
        return x * getattr(model.hidden, "scale", 2.0)

    def change(n):
        if n % 2:
            model.hidden.scale = float(n)

    def step(x):
        first = read(x)
        advance(x)
        return first, read(x)

    return step, change


@trap
def test_attributes_in_hooks():
    """Hooks of tensors look for attributes as the function itself does."""
    weight = parameter()
    weight.register_hook(lambda grad: grad * getattr(weight, "scale", 0.5))

    def change(n):
        weight.scale = float(n)

    def step(x):
        weight.grad = None
        (weight * x).sum().backward()

    return step, change


@trap
def test_attributes_within_a_call():
    """What a call hangs on tensors that it makes for itself does no harm."""

    def step(x):
        made = x * 2
        made.total = x.sum()
        return made + made.total + getattr(made, "other", 1.0)

    return step


@trap(arguments=lambda call: (parameter(Scaled, scale=2.0 * call),), replays=0, eager="is a Scaled")
def test_arguments_of_parameter_classes():
    """An argument of a class with attributes of its own may have others than the last one had."""
    return lambda x: x * x.twice
