"""Objects and classes

Attributes of plain objects are what they are at each call, wherever Python finds them: on the
object, on its class or a base of that, in a slot, or computed. So are methods, traced or not.
"""

import abc
import dataclasses
import enum
import operator
import types
import typing
import weakref

import graphjit as gj
from graphjit import nn

from .harness import four_numbers, traced, trap


@trap
def test_attributes_of_objects():
    """Attributes of plain objects are compared, and so are those of the objects in them."""
    config = types.SimpleNamespace(scale=1.0, inner=types.SimpleNamespace(shift=0.0))

    def change(n):
        config.scale = float(n)
        config.inner.shift = 2.0 * n

    return lambda x: x * config.scale + config.inner.shift, change


@trap
def test_class_attributes():
    """A class attribute that changes is seen through the instance, a subclass, or the class."""

    class Base:
        scale = 1.0

    class Derived(Base):
        shift = 0.0

    thing = Derived()

    def change(n):
        Base.scale = float(n)
        if n == 2:
            Derived.scale = 7.0
        if n == 3:
            thing.shift = 5.0

    return lambda x: x * thing.scale + Derived.scale + thing.shift, change


@trap
def test_properties_and_descriptors():
    """What a property or another descriptor computes from is guarded; a new property is seen."""

    class Percent:
        def __get__(self, thing, owner):
            return thing.raw / 100

    class Thing:
        percent = Percent()
        raw = 50.0

        @property
        def twice(self):
            return 2 * self.raw

    thing = Thing()

    def change(n):
        thing.raw = 10.0 * n
        if n == 3:
            Thing.twice = property(lambda self: -self.raw)

    return lambda x: x * thing.percent + thing.twice, change


@trap
def test_slots():
    """Objects with slots are compared slot by slot, or refused."""

    class Thing:
        __slots__ = ("scale",)

    thing = Thing()
    thing.scale = 1.0

    def change(n):
        thing.scale = float(n)

    return lambda x: x * thing.scale, change


@trap
def test_computed_attributes():
    """`__getattr__` and `getattr` with a computed name read what they read eagerly."""

    class Lazy:
        def __init__(self):
            self.values = {"a": 1.0, "b": 2.0}

        def __getattr__(self, name):
            return self.values[name]

    lazy, plain, name = Lazy(), types.SimpleNamespace(a=1.0, b=3.0), "a"

    def change(n):
        nonlocal name
        lazy.values["a"] = float(n)
        plain.b = 5.0 * n
        name = "ab"[n % 2]

    return lambda x: x * lazy.a + getattr(lazy, name) + getattr(plain, name), change


@trap
def test_dataclasses():
    """Dataclasses, frozen ones too, are compared by their fields."""

    @dataclasses.dataclass
    class Inner:
        shift: float = 0.0

    @dataclasses.dataclass(frozen=True)
    class Config:
        scale: float = 1.0
        inner: Inner = dataclasses.field(default_factory=Inner)

    config = Config()

    def change(n):
        nonlocal config
        config.inner.shift = float(n)
        if n % 2:
            config = dataclasses.replace(config, scale=2.0 * n)

    return lambda x: x * config.scale + config.inner.shift, change


@trap(variants=2)
def test_enums():
    """An enum member is compared as a value: going back to one is no new recording."""

    class Mode(enum.Enum):
        DOUBLE = 2.0
        TRIPLE = 3.0

    class Flag(enum.IntFlag):
        NEGATE = 1

    mode, flag = Mode.DOUBLE, Flag(0)

    def step(x):
        y = x * 2 if mode is Mode.DOUBLE else x * mode.value
        return -y if flag & Flag.NEGATE else y

    def change(n):
        nonlocal mode, flag
        mode = (Mode.DOUBLE, Mode.TRIPLE)[n % 2]
        flag = Flag(n % 2)

    return step, change


@trap
def test_attributes_of_functions_and_modules():
    """Attributes of functions and of imported modules are read anew."""
    module = types.ModuleType("settings")
    module.scale = 1.0

    def step(x):
        return x * module.scale + step.shift

    step.shift = 0.0

    def change(n):
        module.scale = float(n)
        step.shift = 2.0 * n

    return step, change


@trap
def test_a_method_traced_on_the_class():
    """A method traced on its class keeps its instances apart, and sees each of them change."""

    class Scaler:
        def __init__(self, scale):
            self.scale = scale
            self.offset = gj.full((4,), scale)

        @traced
        def apply(self, x):
            return x * self.scale + self.offset

    scalers = Scaler(2.0), Scaler(3.0)

    def change(n):
        scalers[n % 2].scale = 10.0 * n

    return lambda x: (scalers[0].apply(x), scalers[1].apply(x)), change


@trap
def test_class_and_static_methods():
    """Class methods and static methods are followed to what they read."""

    class Scaler:
        scale = 1.0

        @classmethod
        def by_class(cls, x):
            return x * cls.scale

        @staticmethod
        def by_name(x):
            return x + Scaler.scale

    def change(n):
        Scaler.scale = float(n)

    return lambda x: Scaler.by_class(x) + Scaler.by_name(x) + Scaler().by_class(x), change


@trap
def test_monkey_patched_functions():
    """A function, a method or a graphjit function that is replaced is seen."""

    class Thing:
        def run(self, x):
            return x + 1

    thing, tools = Thing(), types.SimpleNamespace(run=lambda x: x * 2)

    def change(n):
        tools.run = lambda x: x * float(n)
        if n == 2:
            Thing.run = lambda self, x: x + 20
        if n == 3:
            thing.run = lambda x: x - 5

    return lambda x: thing.run(x) + tools.run(x), change


@trap
def test_callable_objects():
    """A traced object with `__call__` is guarded like what it is: an object with attributes."""

    class Affine:
        def __init__(self):
            self.scale = 1.0

        def __call__(self, x):
            return x * self.scale

    affine = Affine()

    def change(n):
        affine.scale = float(n)
        if n == 3:
            Affine.__call__ = lambda self, x: x - self.scale

    return affine, change


@trap
def test_datasets_and_other_subclasses():
    """Attributes of objects whose class derives from one of graphjit's are seen as well."""

    class Data(gj.utils.data.Dataset):
        def __init__(self):
            self.scale = 1.0

        def __getitem__(self, index):
            return self.scale * index

    data = Data()

    def change(n):
        data.scale = float(n)

    return lambda x: x + data[3], change


@trap(eager="cannot be guarded")
def test_weak_references():
    """What a weak reference leads to is what it leads to now."""

    class Holder:
        value = 1.0

    holder = Holder()
    reference = weakref.ref(holder)

    def change(n):
        holder.value = float(n)

    return lambda x: x * reference().value, change


@trap
def test_the_dict_of_an_object():
    """`vars` and `__dict__` read what they read eagerly."""
    thing = types.SimpleNamespace(scale=1.0)

    def change(n):
        thing.scale = float(n)

    return lambda x: x + vars(thing)["scale"] + thing.__dict__["scale"], change


@trap(replays=0)
def test_names_given_as_text():
    """`operator.attrgetter`, made inside or outside, reads what it reads eagerly."""
    thing = types.SimpleNamespace(scale=1.0)

    def change(n):
        thing.scale = float(n)

    return lambda x: x * operator.attrgetter("scale")(thing), change


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
def test_attributes_within_a_call():
    """What a call hangs on tensors that it makes for itself does no harm."""

    def step(x):
        made = x * 2
        made.total = x.sum()
        return made + made.total + getattr(made, "other", 1.0)

    return step


class Shape(abc.ABC):
    """A class with an abstract method."""

    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    """A class that derives from one."""

    side = 1.0

    def area(self):
        return self.side * self.side


class HasArea(typing.Protocol):
    """A protocol that classes may follow by name."""

    def area(self): ...


class Disc(HasArea):
    """A class that follows it."""

    side = 1.0

    def area(self):
        return 3 * self.side


class Extent(typing.NamedTuple):
    """A tuple with names."""

    height: float
    width: float


@trap
def test_abstract_classes_and_protocols():
    """Classes with abstract methods are like others."""
    square, disc = Square(), Disc()

    def change(n):
        square.side = float(n)
        Disc.side = n + 1.0

    Disc.side = 1.0
    return lambda x: x * square.area() + disc.area(), change


@trap
def test_registered_subclasses():
    """A class that is registered with an abstract one counts as its subclass from then on."""

    class Base(abc.ABC):
        pass

    class Other:
        pass

    thing = Other()

    def change(n):
        if n == 2:
            Base.register(Other)

    return lambda x: x * (2.0 if isinstance(thing, Base) else 1.0), change


@trap
def test_named_tuples():
    """Classes of named tuples can be named, and their instances read."""
    extent = [Extent(1.0, 2.0)]

    def change(n):
        extent[0] = Extent(float(n), 1.0)

    def step(x):
        made = Extent(extent[0].height, x)
        return made.width * made.height

    return step, change


@trap
def test_containers_that_are_returned():
    """A list or dict from outside that a call returns is that very one, or the one there now."""

    class Thing:
        pass

    thing = Thing()
    thing.sizes, thing.options = [1, 2], {"a": 1}

    def change(n):
        if n == 2:
            thing.sizes = [1, 2]
        if n == 3:
            thing.options["b"] = 2

    return lambda x: (thing.sizes, {"options": thing.options, "y": x * 2}), change


@trap(replays=0, eager="every call changes found")
def test_containers_that_grow_and_are_returned():
    """A list from outside that a call changes and returns is changed by every call."""
    found = []

    def step(x):
        found.append(1.0)
        return found

    return step


@trap(replays=0, eager="a list is in the result twice")
def test_containers_that_are_returned_twice():
    """A list that is returned in two places is one list."""

    def step(x):
        made = [x]
        return made, made

    return step


@trap(replays=0, eager="a list is in the result twice")
def test_containers_that_hold_themselves():
    """A list that is in itself can be returned."""

    def step(x):
        made = [x]
        made.append(made)
        return made

    return step


@trap(arguments=lambda call: (*four_numbers(call), [1]), replays=0, eager="a list of an argument")
def test_arguments_that_are_returned():
    """A list that is given and returned is the one that is given."""
    return lambda x, sizes: (sizes, x * 2)


@trap(arguments=lambda call: (parameter(Scaled, scale=2.0 * call),), replays=0, eager="is a Scaled")
def test_arguments_of_parameter_classes():
    """An argument of a class with attributes of its own may have others than the last one had."""
    return lambda x: x * x.twice
