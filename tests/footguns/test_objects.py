"""Objects and classes

Attributes of plain objects are what they are at each call, wherever Python finds them: on the
object, on its class or a base of that, in a slot, or computed. So are methods, traced or not.
"""

import abc
import collections
import dataclasses
import enum
import inspect
import operator
import types
import typing
import weakref

import pytest

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


@trap
def test_attributes_of_a_subclass():
    """An attribute or a method that a subclass gets later hides that of its base."""

    class Base:
        scale = 1.0

        def shift(self, x):
            return x + 1

        def __call__(self, x):
            return x + 2

    class Derived(Base):
        pass

    thing = Derived()

    def change(n):
        if n == 1:
            Derived.scale = 3.0
        if n == 2:
            Derived.shift = lambda self, x: x - 5
        if n == 3:
            Derived.__call__ = lambda self, x: x * 4
        if n == 4:
            del Derived.scale

    return lambda x: thing(thing.shift(x * thing.scale)) + Derived.scale, change


@trap(replays=4)
def test_methods_that_a_layer_gets_later():
    """A method that a subclass of a layer gets later hides that of the layer."""

    class Layer(nn.Linear):
        pass

    layer = Layer(4, 4)

    def change(n):
        if n == 1:
            Layer.extra_repr = lambda self: "hidden"
        if n == 2:
            Layer.__call__ = lambda self, x: x * 5
        if n == 3:
            Layer.forward = lambda self, x: x - 1
            del Layer.__call__

    return lambda x: layer(x) * len(layer.extra_repr()), change


class Meta(type):
    """A metaclass with a property, and with a say in what instances are."""

    @property
    def scale(cls):
        return TABLE["property"]

    def __instancecheck__(cls, thing):
        return thing < TABLE["instance"]


class Field:
    """A descriptor."""

    def __get__(self, thing, owner):
        return TABLE["descriptor"]


class Special(metaclass=Meta):
    """An object all of whose parts are computed from a global table."""

    field = Field()

    def __new__(cls):
        thing = super().__new__(cls)
        thing.value = TABLE["new"]
        return thing

    def __getattr__(self, name):
        return TABLE[name]

    def __matmul__(self, x):
        return x * TABLE["matmul"]

    def __rmatmul__(self, number):
        return number * TABLE["rmatmul"]


class Gained(nn.Module):
    """A module whose `__getattr__` reads a global table."""

    def __getattr__(self, name):
        return TABLE[name] if name in TABLE else super().__getattr__(name)

    def forward(self, x):
        return x * self.gain


TABLE = {"new": 1.0}
SPECIAL, GAINED = Special(), Gained()
USES = {
    "property": lambda x: x * Special.scale,
    "instance": lambda x: x if isinstance(2.0, Special) else -x,
    "descriptor": lambda x: x * SPECIAL.field,
    "new": lambda x: x * Special().value,
    "absent": lambda x: x * SPECIAL.absent,
    "matmul": lambda x: SPECIAL @ x,
    "rmatmul": lambda x: x * (2 @ SPECIAL),
    "gain": GAINED,
}


@pytest.mark.parametrize("name", USES)
@trap
def test_methods_that_python_calls(name):
    """What Python calls unnamed is followed: `__getattr__`, `__get__`, `__new__`, operators, and

    the methods of a metaclass.
    """
    TABLE.clear()
    TABLE[name] = 1.0

    def change(n):
        TABLE[name] = float(n)

    return USES[name], change


@pytest.mark.parametrize("read", [
    lambda cls: vars(cls)["scale"], lambda cls: cls.__dict__["scale"],
    lambda cls: dict(inspect.getmembers(cls))["scale"], lambda cls: len(dir(cls)),
    lambda cls: float("{.scale}".format(cls)),  # noqa: UP032  (the trap)
], ids=["vars", "__dict__", "getmembers", "dir", "format"])  # fmt: skip
@trap
def test_the_dict_of_a_class(read):
    """All attributes of a class are guarded, if code lists them or names them in a string."""

    class Options:
        scale = 1.0

    def change(n):
        Options.scale = float(n)
        if n == 3:
            Options.extra = 1.0

    return lambda x: x * read(Options), change


@trap
def test_abstract_classes_and_named_tuples():
    """Abstract base classes and named tuples are followed like any class."""

    class Rule(abc.ABC):
        scale = 1.0

        @abc.abstractmethod
        def apply(self, x): ...

    class Doubled(Rule):
        def apply(self, x):
            pair = Pair(x, self.scale)
            return pair.left * pair.right

    Pair = collections.namedtuple("Pair", "left right")
    rule = Doubled()

    def change(n):
        Rule.scale = float(n)

    return lambda x: rule.apply(x), change


@trap
def test_attributes_of_enum_members():
    """Attributes that members of an enumeration have are compared."""

    class Mode(enum.Enum):
        FAST = 1
        SLOW = 2

        def __init__(self, number):
            self.scale = 1.0

    def change(n):
        Mode.FAST.scale = float(n)
        Mode.SLOW.shift = 2.0 * n

    mode = Mode.SLOW
    mode.shift = 0.0
    return lambda x: x * Mode.FAST.scale + mode.shift, change


def sibling():
    First, Second = type("First", (), {}), type("Second", (), {"scale": lambda self: 1.0})

    class Both(First, Second):
        def scale(self):
            return super().scale()

    both = Both()
    return lambda x: x * both.scale(), lambda: setattr(First, "scale", lambda self: 4.0)


def made_up(make):
    owner = make()
    return lambda x: x * owner.scale, lambda: setattr(owner, "scale", 3.0)


def module_that_makes_up():
    module = types.ModuleType("settings")
    module.__getattr__ = lambda name: 1.0 if name == "scale" else ""
    return module


def class_that_makes_up():
    return type("Kind", (type,), {"__getattr__": lambda cls, name: 1.0})("Thing", (), {})


def layer_class():
    class Layer(nn.Module):
        def forward(self, x):
            return x * 2 if hasattr(self, "flag") else x

    return Layer(), lambda: setattr(Layer, "flag", True)


def truth():
    Thing = type("Thing", (), {})
    thing = Thing()
    return lambda x: x * 2 if thing else x, lambda: setattr(Thing, "__bool__", lambda self: False)


def function_dict():
    def helper(x):
        return x * helper.__dict__.get("scale", 1.0)

    return helper, lambda: setattr(helper, "scale", 3.0)


def pattern():
    Thing = type("Thing", (), {"scale": 1.0})

    def step(x):
        match Thing():
            case Thing(scale=1.0):
                return x
        return x * 2

    return step, lambda: setattr(Thing, "scale", 3.0)


@pytest.mark.parametrize("make", [
    sibling, lambda: made_up(module_that_makes_up), lambda: made_up(class_that_makes_up),
    layer_class, truth, function_dict, pattern,
])  # fmt: skip
@trap
def test_what_comes_to_be(make):
    """What takes the place of something found elsewhere, or made up, is found from then on."""
    step, put = make()
    return step, lambda n: put() if n == 2 else None


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


@pytest.mark.filterwarnings("ignore::graphjit.errors.TraceWarning")
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
