"""Runs a program and writes down everything that can be seen after each of its calls."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .data import maker
from .program import Program


@dataclass(frozen=True)
class Seen:
    """What a tensor looks like from outside."""

    array: np.ndarray
    dtype: str
    requires_grad: bool
    is_leaf: bool
    grad: Seen | None


@dataclass
class Observation:
    """The state after one call; `error` is the exception's class and message."""

    error: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    same: frozenset[tuple[str, str]] = frozenset()
    strides: dict[str, tuple[int, ...]] = field(default_factory=dict)
    shared: frozenset[tuple[str, str]] = frozenset()
    generator: Any = None


@dataclass
class Outcome:
    """All calls of a program; `refusal` says why a traced function went on eagerly."""

    calls: list[Observation]
    replays: int = 0
    refusal: str = ""


def namespace(library: str) -> dict[str, Any]:
    """The names that programs use."""
    T = importlib.import_module(library)
    return {
        "T": T,
        "nn": T.nn,
        "F": importlib.import_module(f"{library}.nn.functional"),
        "optim": importlib.import_module(f"{library}.optim"),
        "data": maker(T),
        "__name__": "program",
    }


def execute(program: Program, library: str, wrap: Callable[..., Any] | None = None) -> Outcome:
    """Run `program`, its function wrapped by `wrap`."""
    names = namespace(library)
    T = names["T"]
    T.manual_seed(program.seed)
    T.set_default_dtype(T.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(program.definition(), "<program>", "exec")
        exec(code, names)
        step = names["step"] = names["function"] if wrap is None else wrap(names["function"])
        calls = []
        for number, call in enumerate(program.calls):
            calls.append(_call(names, call.lines(number)))
    if wrap is None:
        return Outcome(calls)
    return Outcome(calls, step.stats()["replays"], step.eager_reason or "")


def _call(names: dict[str, Any], lines: list[str]) -> Observation:
    seen = Observation()
    try:
        for line in lines:
            exec(line, names)
    except Exception as error:  # noqa: BLE001  (any exception is what the program does)
        seen.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    gc.collect(0)
    tensors = dict(_named(names))
    seen.values = {name: look(value) for name, value in tensors.items()}
    seen.same = frozenset(
        (a, b) for a in tensors for b in tensors
        if a < b and tensors[a] is tensors[b] and is_tensor(tensors[a])
    )
    seen.strides = {
        name: _steps(value) for name, value in tensors.items()
        if name[0] == "r" and is_tensor(value)
    }
    seen.shared = _shared(tensors)
    seen.generator = names["T"].get_rng_state().numpy().tobytes()
    return seen


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor of either library; none of its properties is read."""
    return hasattr(type(value), "retain_grad")


def look(value: Any) -> Any:
    """A tensor as seen now, or the error that a look raises; other values as they are."""
    if not is_tensor(value):
        return value
    try:
        return _seen(value)
    except RuntimeError as error:
        return str(error).splitlines()[0]


def _seen(value: Any) -> Seen:
    grad = value.grad if value.is_leaf else None
    return Seen(
        value.detach().numpy().copy(),
        str(value.dtype).split(".")[-1],
        value.requires_grad,
        value.is_leaf,
        None if grad is None else _seen(grad),
    )


def _named(names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Tensors and numbers that the program can reach, by path."""
    for name, value in list(names.items()):
        if name in ("T", "nn", "F", "optim", "data") or name.startswith("__"):
            continue
        yield from _parts(name, value)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_tensor(value) or isinstance(value, (int, float, str, type(None))):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _parts(f"{name}[{i}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(f"{name}[{key!r}]", item)
    elif hasattr(value, "named_parameters"):
        for key, item in (*value.named_parameters(), *value.named_buffers()):
            yield f"{name}.{key}", item
    elif hasattr(value, "param_groups"):
        state = value.state_dict()
        yield from _parts(f"{name}.state", state["state"])
        yield from _parts(f"{name}.groups", state["param_groups"])
    elif type(value).__module__ == "program":
        yield from _parts(name, vars(value))


def _steps(tensor: Any) -> tuple[int, ...]:
    """Strides where they matter; none for an expanded tensor, whose like may be written out."""
    steps = tuple(s for s, extent in zip(tensor.stride(), tensor.shape) if extent > 1)
    return () if 0 in steps or not tensor.numel() else steps


def _shared(tensors: dict[str, Any]) -> frozenset[tuple[str, str]]:
    """Pairs of names, one of them of a result, that share memory."""
    spans = {}
    for name, value in tensors.items():
        if is_tensor(value):
            array = value.detach().numpy()
            if array.size:
                spans[name] = np.lib.array_utils.byte_bounds(array)
    return frozenset(
        (a, b)
        for a, (low, high) in spans.items() if a[0] == "r"
        for b, (start, stop) in spans.items() if a != b and low < stop and start < high
    )
