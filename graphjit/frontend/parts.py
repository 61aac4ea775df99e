"""What values are made of and lead to, for `reads` to follow."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

from .guards import CONTAINERS, fields, is_opaque, is_plain
from .libraries import is_library
from .state import GUARDED, WRAPPERS, SelfGuarding
from .tensor import Tensor


def parts(value: Any) -> Iterator[Any]:
    """What calling or reading `value` may lead to."""
    if isinstance(value, SelfGuarding):  # it notes what is read of it, but not of tensors in it
        every: Any = value
        items = dict.values(every) if isinstance(value, dict) else list.__iter__(every)
        yield from (x for x in items if isinstance(x, (Tensor, SelfGuarding)))
    elif isinstance(value, (dict, MappingProxyType)):
        yield from value.values()
    elif isinstance(value, CONTAINERS):
        yield from value
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, (BuiltinFunctionType, MethodWrapperType)):
        if not isinstance(value.__self__, ModuleType):
            yield value.__self__
    elif isinstance(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isinstance(value, functools.singledispatchmethod):
        yield value.dispatcher
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, FunctionType):
        yield inspect.unwrap(value)
    elif isinstance(value, type):
        yield from (*value.__mro__[1:], type(value))
        if issubclass(value, Enum):
            yield from value.__members__.values()
    elif isinstance(value, (Enum, Tensor)) or is_plain(value):
        yield type(value)
    elif not is_opaque(value):
        yield type(value)
        yield from fields(value)[1::2]
    elif callable(value):  # a traced function, or another wrapper of graphjit's
        yield getattr(value, "__dict__", {}).get("__wrapped__")


def dispatches(function: FunctionType) -> bool:
    """Whether this calls what is registered for the type of an argument."""
    return function.__code__ is _DISPATCHER.__code__


_DISPATCHER: Any = functools.singledispatch(is_opaque)


def is_path(value: Any) -> bool:
    """Whether this is a path in a file system, or a class of such."""
    return isinstance(value, PurePath) or (isinstance(value, type) and issubclass(value, PurePath))


def has_space(value: Any) -> bool:
    """Whether this is a user's class or member of an enumeration, or stands for a function."""
    if isinstance(value, (type, Enum)):
        return not is_library(value.__module__)
    return type(value) in WRAPPERS


def label(space: Any) -> str:
    """What a class, a module or a function is called."""
    return str(getattr(space, "__name__", type(space).__name__))


def makes_up(space: Any) -> bool:
    """Whether a module or a class has attributes that a user's `__getattr__` makes up."""
    if isinstance(space, ModuleType):
        return "__getattr__" in vars(space)
    kind: Any = type(space)
    return isinstance(space, type) and any(
        "__getattr__" in vars(base) and not is_library(base.__module__) for base in kind.__mro__
    )


def is_extension(space: Any) -> bool:
    """Whether graphjit calls the methods of a class by itself: a `Function`, an optimizer."""
    return isinstance(space, type) and any(
        base is not object and is_library(base.__module__) for base in space.__mro__
    ) and not issubclass(space, tuple(GUARDED))


