"""Every `GRAPHJIT_*` knob: its name, default and meaning, in one table."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Knob:
    """An environment variable: `kind` is the Python type its text is read as."""

    name: str
    kind: type
    default: object
    meaning: str


KNOBS = (
    Knob("NAMESPACE", str, "graphjit", "name printed before dtypes and sizes"),
    Knob("DEBUG", int, 0, "1 compiles, 2 kernel times, 3 pass table, 4 kernel source, 5 graphs"),
    Knob("CHECK", int, 0, "1 verify each pass, 2 compare its numbers, 3 compare with eager"),
    Knob("DUMP", str, "", "folder that receives each intermediate graph and kernel"),
    Knob("PASSES", str, "", "comma-separated passes to leave out, each with a leading minus"),
    Knob("DISABLE", bool, False, "compile nothing: run every traced function eagerly, by NumPy"),
    Knob("STRICT", bool, False, "raise where the compiler would fall back to a host call"),
    Knob("BACKEND", str, "kernels", "what replays a graph: kernels, or interp (the interpreter)"),
    Knob("EMITTER", str, "llvm", "what compiles fused kernels: llvm (directly), or numba"),
    Knob("CACHE_DIR", str, "", "folder of what was compiled; empty for the user's cache folder"),
    Knob("CACHE_SIZE", int, 256, "MB of kernels and plans kept on disk; 0 keeps none"),
    Knob("MAX_VARIANTS", int, 256, "compiled variants of one function; others run eagerly"),
    Knob("MAX_BRANCHES", int, 64, "variants for one kind of arguments that saw other values"),
    Knob("NUM_THREADS", int, 1, "threads that share the long kernels of a program; 0 for all"),
)

_KNOB = {knob.name: knob for knob in KNOBS}
_overrides: dict[str, object] = {}


def get(name: str) -> object:
    """The value of knob `name`: an override, else the environment, else the default."""
    if name in _overrides:
        return _overrides[name]
    knob = _KNOB[name]
    text = os.environ.get("GRAPHJIT_" + name)
    if text is None or text == "":
        return knob.default
    if knob.kind is bool:
        return text.lower() not in ("0", "false", "no", "off")
    try:
        return knob.kind(text)
    except ValueError:
        raise ValueError(f"GRAPHJIT_{name} must be {knob.kind.__name__}, got {text!r}") from None


def get_int(name: str) -> int:
    """An integer knob."""
    value = get(name)
    assert isinstance(value, int)
    return value


def get_str(name: str) -> str:
    """A text knob."""
    value = get(name)
    assert isinstance(value, str)
    return value


def get_bool(name: str) -> bool:
    """A yes-or-no knob."""
    return bool(get(name))


def override(name: str, value: object) -> object:
    """Set knob `name` for this process; returns what was in force before."""
    before = get(name)
    _overrides[_KNOB[name].name] = value
    return before


NAMESPACE = get_str("NAMESPACE")
