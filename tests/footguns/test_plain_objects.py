"""Plain objects: what is read of them, and what is assigned.

Of an object whose class is written in Python, a traced function depends on the attributes that it
reads, and on no others. Tensors and numbers that it assigns to attributes are assigned by replays
too; other changes to objects from outside make it run eagerly, with the reason.
"""

import copy
import dataclasses

import pytest

import graphjit as gj
from graphjit import nn

from .harness import traced, trap


class Thing:
    """An object with whatever attributes it is given."""

    kind = 1.0

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)

    def double(self, x):
        return x * 2


class Other(Thing):
    """A class that objects can be changed to."""

    kind = 5.0

    def double(self, x):
        return x * 20


@trap(replays=8)
def test_state_carried_in_an_object():
    """A tensor that a call leaves in an attribute is what the next call finds there."""
    thing = Thing(hidden=gj.zeros(4), scale=0.5)

    def change(n):
        if n == 2:
            thing.hidden = gj.ones(4)
        if n == 3:
            thing.unrelated = n

    def step(x):
        thing.hidden = gj.tanh(thing.hidden * thing.scale + x)
        return thing.hidden + 1

    return step, change


@trap(replays=6)
def test_counters_of_objects():
    """Counters of objects count, also when they are set in between, and their values are used."""
    thing = Thing(count=0, decay=1.0)

    def change(n):
        if n == 3:
            thing.count = 100

    def step(x):
        thing.count += 1
        thing.decay = thing.decay * 0.5
        return x * thing.count + thing.decay

    return step, change


@trap
def test_other_attributes_may_change():
    """Attributes that the function does not read may be anything, and anything else each time."""
    thing = Thing(scale=2.0, log=[])

    def change(n):
        thing.log.extend([n] * 1000)
        thing.socket = (k for k in range(n))
        thing.scale = float(n)

    return lambda x: x * thing.scale, change


@trap(replays=0, eager="every call changes Slotted.value")
def test_slots_that_are_assigned():
    """A call that assigns a slot runs eagerly."""

    class Slotted:
        __slots__ = ("value",)

    thing = Slotted()
    thing.value = gj.zeros(4)

    def step(x):
        thing.value = thing.value + x
        return thing.value * 1

    return step


@trap(replays=6)
def test_properties_that_assign():
    """A property's setter does what it does eagerly."""

    class Celsius:
        def __init__(self):
            self.kelvin = gj.full((4,), 273.0)

        @property
        def value(self):
            return self.kelvin - 273.0

        @value.setter
        def value(self, value):
            self.kelvin = value + 273.0

    thing = Celsius()

    def step(x):
        thing.value = thing.value + x
        return thing.value * 2

    return step


class Plain:
    """Attributes lie in the `__dict__`."""


class Own:
    """Attributes are set by a method of the class."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)


class Slotted:
    """Attributes lie in slots."""

    __slots__ = ("value",)


def _assign(thing):
    thing.value = 1.0


def _delete(thing):
    thing.value = 1.0
    del thing.value


STORES = [
    (Own, _assign),
    (Slotted, _assign),
    (Own, lambda thing: setattr(thing, "value", 1.0)),
    (Plain, lambda thing: object.__setattr__(thing, "value", 1.0)),
    (Slotted, lambda thing: setattr(thing, "value", 1.0)),
    (Slotted, _delete),
]


@pytest.mark.parametrize(("kind", "store"), STORES)
def test_what_is_stored_again_and_again(kind, store):
    """Replays did without stores that changed nothing, though others had changed it meanwhile."""

    def values(wrap):
        thing = kind()

        def step(x):
            store(thing)
            return x * 2

        step, found = wrap(step), []
        for number in range(6):
            step(gj.ones(2))
            found.append(getattr(thing, "value", None))
            if number > 2:
                thing.value = 5.0
        return found

    assert values(gj.trace) == values(lambda step: step)


@trap(replays=0, eager="every call changes Frozen.value")
def test_assignments_past_the_class():
    """`object.__setattr__` is seen although no method of the class is called."""

    @dataclasses.dataclass(frozen=True)
    class Frozen:
        value: float

    thing = Frozen(1.0)

    def step(x):
        object.__setattr__(thing, "value", thing.value + 1.0)
        return x * thing.value

    return step


@trap(replays=0, eager="every call changes Thing.")
def test_the_dict_that_is_changed():
    """Changes made through `__dict__` and `vars` are seen."""
    thing = Thing(value=1.0)

    def step(x):
        vars(thing)["value"] = thing.__dict__["value"] + 1.0
        return x * 2

    return step


@trap(replays=4)
def test_attributes_made_at_the_first_call():
    """An attribute that the first call makes, and a later change deletes, is made again."""
    thing = Thing()

    def change(n):
        if n == 2:
            del thing.cache
        if n == 4:
            thing.cache = gj.zeros(4)

    def step(x):
        if not hasattr(thing, "cache"):
            thing.cache = x * 3
        return x + thing.cache

    return step, change


@trap(replays=0, eager="every call changes Thing.value")
def test_attributes_that_are_deleted():
    """An attribute deleted by a call, and made anew for the next, is deleted by each."""
    thing = Thing(value=1.0)

    def step(x):
        found = getattr(thing, "value", 7.0)
        if hasattr(thing, "value"):
            del thing.value
        else:
            thing.value = 2.0
        return x * found

    return step


@trap
def test_attributes_that_are_missing():
    """A deleted attribute raises what it raises eagerly, until it is there again."""
    thing = Thing(scale=2.0)

    def change(n):
        if n == 2:
            del thing.scale
        if n == 3:
            thing.scale = 4.0

    return lambda x: x * thing.scale, change


@trap
def test_the_class_of_an_object():
    """An object whose class is exchanged has the new one's attributes and methods."""
    thing = Thing()

    def change(n):
        thing.__class__ = Other if n % 2 else Thing

    return lambda x: thing.double(x) + thing.kind, change


@trap
def test_attributes_that_hide_those_of_the_class():
    """An attribute of the object's own comes before one of its class, methods included."""
    thing = Thing()

    def change(n):
        if n == 1:
            thing.kind = 3.0
        if n == 2:
            thing.double = lambda x: x * 7
        if n == 3:
            del thing.kind
        if n == 4:
            del thing.double

    return lambda x: thing.double(x) + thing.kind, change


@trap
def test_objects_in_containers():
    """Objects in lists and dicts, and objects in objects, are looked at where they are used."""
    things = [Thing(scale=1.0), Thing(scale=2.0)]
    table = {"a": Thing(inner=Thing(scale=3.0))}

    def change(n):
        if n == 1:
            things[1].scale = 5.0
        if n == 2:
            table["a"].inner.scale = 6.0
        if n == 3:
            table["a"].inner = Thing(scale=7.0)
        if n == 4:
            things[0] = things[1]

    def step(x):
        for thing in things:
            x = x * thing.scale
        return x + table["a"].inner.scale

    return step, change


@trap
def test_objects_in_modules():
    """What a module's object computes depends on the object, and on what its methods read."""
    shared = Thing(shift=1.0)

    class Activation:
        def __init__(self):
            self.slope = 0.5

        def __call__(self, x):
            return gj.where(x > 2, x, x * self.slope) + shared.shift

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = Activation()

        def forward(self, x):
            return self.act(x)

    net = Net()

    def change(n):
        if n == 1:
            net.act.slope = 0.25
        if n == 2:
            shared.shift = 4.0
        if n == 3:
            net.act = Activation()
        if n == 4:
            Activation.__call__ = lambda self, x: x - self.slope

    return lambda x: net(x), change


@trap(replays=0, eager="every call changes Thing.last")
def test_objects_left_in_objects():
    """An object that a call makes and keeps is made by every call."""
    thing = Thing(last=None)

    def step(x):
        thing.last = Thing(value=x * 2)
        return thing.last.value + 1

    return step


@trap
def test_copies_of_objects():
    """A copy has what the object has now; what is done to the copy is not done to the object."""
    thing = Thing(scale=1.0, shift=2.0)

    def change(n):
        if n % 2:
            thing.scale = float(n)
        else:
            thing.extra = n

    def step(x):
        other = copy.copy(thing)
        other.shift = other.shift + 1
        return x * other.scale + other.shift

    return step, change


@trap
def test_objects_with_computed_attributes():
    """`__getattr__` and properties give what they give eagerly, whatever they look at."""
    table = {"scale": 1.0}

    class Lazy:
        def __init__(self):
            self.factor = 2.0

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(name)
            return table[name]

        @property
        def both(self):
            return self.factor * table["scale"]

    thing = Lazy()

    def change(n):
        if n == 1:
            table["scale"] = 3.0
        if n == 2:
            thing.scale = 8.0
        if n == 3:
            thing.factor = 5.0
        if n == 4:
            Lazy.both = 1.5

    return lambda x: x * thing.scale + thing.both, change


@trap(arguments=lambda call: (gj.arange(4.0) + call, "scale" if call % 4 < 2 else "shift"))
def test_names_of_attributes_given_as_text():
    """`getattr` by an argument reads that attribute, and no other."""
    thing = Thing(scale=1.0, shift=10.0)

    def change(n):
        thing.scale = float(n)

    return lambda x, name: x * getattr(thing, name), change


THINGS = {}


@trap(arguments=lambda call: (gj.arange(4.0) + call, THINGS.setdefault(call % 2, Thing(scale=1.0))))
def test_objects_as_arguments():
    """An object that is an argument is looked at attribute by attribute as well."""

    def change(n):
        THINGS[n % 2].unrelated = n
        THINGS[1].scale = float(n // 2)

    return lambda x, thing: x * thing.scale, change


@trap(replays=8)
def test_logs_that_callbacks_write():
    """`graphjit.debug.callback` may append to a list of an object: the list is not looked into."""
    thing = Thing(losses=[], scale=2.0)

    def step(x):
        loss = (x * thing.scale).sum()
        gj.debug.callback(thing.losses.append, loss.item())
        return loss

    return step


@trap(replays=0, eager="every call changes Thing.losses")
def test_logs_that_are_looked_into():
    """A list that a callback writes and the function reads makes it run eagerly."""
    thing = Thing(losses=[])

    def step(x):
        gj.debug.callback(thing.losses.append, x.sum().item())
        return x * len(thing.losses)

    return step


@dataclasses.dataclass
class Output:
    """What models return in many a library."""

    loss: object
    parts: list = dataclasses.field(default_factory=list)
    norm: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """One that cannot be written to once it is made, and has no `__dict__`."""

    first: object
    second: object


@trap(variants=1)
def test_objects_made_and_returned():
    """An object that a call makes and returns is made anew by each: with its class and contents."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        y = weight * x
        inner = Thing(scaled=y.detach() * 3, rows=[Thing(mean=x.mean()), x])
        return Output(y.sum(), [y, inner], y.norm().item()), Frozen(weight, Frozen(x * 2, None))

    return step


@trap(variants=1)
def test_gradients_through_objects_made_and_returned():
    """The loss in an object that a forward returns can be differentiated."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def forward(x):
        return Output((weight * x).square().sum())

    def step(x):
        weight.grad = None
        forward(x).loss.backward()
        return weight.grad

    return step


class Deleted(Thing):
    """An object whose end shows."""

    def __del__(self):
        pass


def _twice(x):
    result = Output(x * 2)
    return result, result


def _cyclic(x):
    result = Thing(value=x * 2)
    result.me = result
    return result


def _of_a_class_of_its_own(x):
    class Local(Thing):
        pass

    return Local(value=x * 2)


@pytest.mark.parametrize(
    "step", [_twice, _cyclic, _of_a_class_of_its_own, lambda x: Deleted(value=x * 2)]
)
@trap(eager="cannot be made anew")
def test_objects_that_replays_could_not_make_alike(step):
    """One object returned twice, or that holds itself, or whose class is new, ends recordings."""
    return step


@trap(variants=1)
def test_numbers_beside_a_frozen_dataclass():
    """Code that asks for `type(self)`, as frozen dataclasses do, leaves numbers symbolic."""
    config = Frozen(2.0, "mean")

    def step(x):
        return (x * config.first).sum().item(), Frozen(x.mean().item(), config.second)

    return step


@trap(replays=12)
def test_state_that_another_traced_function_carries():
    """A tensor that one traced function leaves in an attribute is found by another one."""
    thing, model = Thing(hidden=gj.zeros(4)), nn.Linear(4, 4)
    model.hidden = gj.zeros(4)

    def change(n):
        if n % 2:
            thing.hidden = gj.ones(4) * n
        else:
            model.hidden = gj.ones(2, 4)

    @traced
    def advance(x):
        thing.hidden = thing.hidden * 0.5 + x
        model.hidden = model(model.hidden).detach()

    @traced
    def read(x):
        return x * thing.hidden + model.hidden

    def step(x):
        first = read(x)
        advance(x)
        return first, read(x)

    return step, change


@trap(replays=0, eager="Thing.kept is assigned and deleted")
def test_attributes_for_the_time_of_a_call():
    """An attribute that a call assigns and deletes is gone after each."""
    thing = Thing(kept=1.0)

    def step(x):
        thing.kept = x * 2
        made = thing.kept + 1
        del thing.kept
        return made

    return step


@trap(replays=0, eager="read past the class")
def test_attributes_read_past_the_class():
    """What `object.__getattribute__` reads cannot be watched."""
    thing = Thing(scale=1.0)

    def change(n):
        thing.scale = float(n)

    return lambda x: x * object.__getattribute__(thing, "scale"), change
