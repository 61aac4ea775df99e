"""Results with named fields: `max`, `sort`, `topk` and their like over a dimension."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .. import config


class Result(tuple[Any, ...]):
    """A tuple whose items are attributes too, printed one to a line."""

    __slots__ = ()
    fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows = ",\n".join(f"{name}={v!r}" for name, v in zip(self.fields, self, strict=True))
        return f"{config.NAMESPACE}.return_types.{type(self).__name__}(\n{rows})"

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (type(self).__name__, self.fields, tuple(self))


_TYPES: dict[tuple[str, tuple[str, ...]], type[Result]] = {}


def result_type(name: str, *fields: str) -> type[Result]:
    """The class of results called `name`, made once."""
    key = (name, fields)
    if key not in _TYPES:
        places = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
        _TYPES[key] = type(name, (Result,), {"__slots__": (), "fields": fields, **places})
    return _TYPES[key]


def named(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Result:
    """A result from its parts."""
    return result_type(name, *fields)(values)
