"""What Python can see of a function and all that it leads to, as plain rows to be compared.

Objects are numbered by the path on which they were first met, so that sharing is compared as well.
"""

import functools
import math
import sys
from enum import Enum
from types import FunctionType, MethodType, ModuleType

import numpy as np

import graphjit as gj
from graphjit.frontend.hooks import RemovableHandle
from graphjit.frontend.trace import Traced

SCALARS = (bool, int, float, complex, str, bytes, type(None), gj.dtype, gj.device, slice, range)
#: what an object of graphjit's keeps for its own speed
CACHES = {"_graphjit_methods", "__dict__", "__weakref__", "_entries", "_plan", "plan", "version"}


def portrait(**roots):
    """Rows (path, value) of everything that `roots` lead to."""
    painter = Painter()
    for name, root in roots.items():
        painter.visit(name, root)
    return painter.rows


class Painter:
    """Walks objects depth first; `rows` collects what it sees."""

    def __init__(self):
        self.rows = []
        self.first = {}
        self.alive = []

    def visit(self, path, thing):
        if isinstance(thing, Traced):
            thing = thing.function
        if isinstance(thing, Enum):
            self.rows.append((path, repr(thing)))
        elif isinstance(thing, SCALARS):
            self.rows.append((path, thing))
        elif id(thing) in self.first:
            self.rows.append((path, f"is {self.first[id(thing)]}"))
        else:
            self.first[id(thing)] = path
            self.alive.append(thing)
            self.rows.append((path, type(thing).__name__))
            for name, part in self._parts(path, thing):
                self.visit(f"{path}{name}", part)

    def _parts(self, path, thing):
        if isinstance(thing, gj.Tensor):
            return self._tensor(path, thing)
        if isinstance(thing, np.ndarray):
            self.rows.append((f"{path}[:]", thing.copy()))
            return []
        if isinstance(thing, dict):
            counted = path.endswith("_hooks")  # by numbers that no two hooks share
            return [
                (f"[{n if counted or not isinstance(k, SCALARS) else repr(k)}]", v)
                for n, (k, v) in enumerate(thing.items())
            ]
        if isinstance(thing, (list, tuple)):
            return [(f"[{n}]", v) for n, v in enumerate(thing)]
        if isinstance(thing, (set, frozenset)):
            return [("{}", sorted(map(repr, thing)))]
        return _members(thing)

    def _tensor(self, path, tensor):
        array = tensor._array
        owner = array
        while getattr(owner, "base", None) is not None:
            owner = owner.base
        self.alive.append(owner)
        memory = self.first.setdefault(("memory", id(owner)), path)
        facts = (array.dtype.name, array.shape, array.size and array.strides,
                 tensor.requires_grad, tensor.is_leaf, memory)  # fmt: skip
        self.rows += [(f"{path} (facts)", repr(facts)), (f"{path}[:]", array.copy())]
        hung = [(f".{k}", v) for k, v in vars(tensor).items() if not k.startswith("_")]
        return [(".grad", tensor._grad), *hung]


def _members(thing):
    """The attributes of an object, or what a callable holds."""
    if isinstance(thing, functools.partial):
        return [(".func", thing.func), (".args", thing.args), (".keywords", thing.keywords)]
    if isinstance(thing, MethodType):
        return [(".__self__", thing.__self__), (".__func__", thing.__func__)]
    if isinstance(thing, FunctionType):
        return _function(thing)
    if isinstance(thing, RemovableHandle):
        return []
    if isinstance(thing, (type, ModuleType)):
        found = {} if _is_library(thing) else vars(thing)
        return [(f".{k}", v) for k, v in found.items() if not k.startswith("__")]
    found = dict(getattr(thing, "__dict__", {}))
    for cls in type(thing).__mro__:
        found |= {s: getattr(thing, s) for s in _slots(cls) if hasattr(thing, s)}
    return [(f".{k}", v) for k, v in found.items() if k not in CACHES]


def _slots(cls):
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def _function(function):
    if _is_library(function):
        return []
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = [(f"<{name}>", cell.cell_contents) for name, cell in cells if _is_full(cell)]
    found += [(f".{name}", getattr(function, name)) for name in ("__defaults__", "__kwdefaults__")]
    return found + [(f".{k}", v) for k, v in vars(function).items() if k != "__wrapped__"]


def _is_full(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _is_library(thing):
    """Whether a class, module or function is not of the tests' own making."""
    name = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    return not name.startswith(f"{__package__}.") and name in sys.modules


def differences(mine, theirs, exact):
    """The rows in which two portraits differ, as text."""
    if [path for path, _ in mine] != [path for path, _ in theirs]:
        paths = {path for path, _ in mine} ^ {path for path, _ in theirs}
        return [f"only one of them has {sorted(paths)}"]
    return [
        f"{path}: {a} eagerly, {b} traced"
        for (path, a), (_, b) in zip(mine, theirs, strict=True)
        if not _equal(a, b, exact)
    ]


def _equal(a, b, exact):
    if isinstance(a, np.ndarray):
        if exact or a.dtype.kind not in "fc":
            return a.tobytes() == b.tobytes()
        return np.allclose(b, a, 2e-5, 1e-6, equal_nan=True)
    if type(a) is float and type(b) is float:
        close = a == b if exact else math.isclose(a, b, rel_tol=2e-5, abs_tol=1e-6)
        return close or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b
