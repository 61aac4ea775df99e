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

import pytest

import graphjit as gj

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
