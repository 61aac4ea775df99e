"""Runs a program and writes down everything that can be seen after each of its calls."""

from __future__ import annotations

import gc
import importlib
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .data import loss, maker
from .program import Program

#: first letters of names that the function may put a tensor under: results, holders, containers
WRITABLE = "rhld"
#: the error after which a program ends, since how far the backward got before is not compared
TWICE = "backward through the graph a second time"
#: names that are not part of a program's state
BUILT_IN = ("T", "nn", "F", "optim", "data", "loss", "math", "trace")


@dataclass(frozen=True)
class Seen:
    """What a tensor looks like from outside."""

    array: np.ndarray
    dtype: str
    requires_grad: bool
    is_leaf: bool


@dataclass
class Observation:
    """The state after one call.

    Attributes:
        errors: class and message of the exceptions raised by the changes before it and by it.
        values: tensors as seen, and other values, by path.
        same: for each tensor, the first path by which it can be reached.
        strides: those of tensors that the function may have made.
        shared: pairs of paths, one of them of such a tensor, that share memory.
        generator: the state of the random generator.
    """

    errors: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    strides: dict[str, tuple[int, ...]] = field(default_factory=dict)
    shared: frozenset[tuple[str, str]] = frozenset()
    generator: bytes = b""


@dataclass
class Outcome:
    """All calls of a program; `refusal` says why a traced function went on eagerly."""

    calls: list[Observation]
    #: whether it ended with a backward through a tape that had been used up
    ended: bool = False
    replays: int = 0
    variants: int = 0
    refusal: str = ""


def namespace(library: str, wrap: Callable[..., Any] | None = None) -> dict[str, Any]:
    """The names that programs use; `wrap` is the decorator they know as `trace`."""
    T = importlib.import_module(library)
    return {
        "T": T,
        "nn": T.nn,
        "F": importlib.import_module(f"{library}.nn.functional"),
        "optim": importlib.import_module(f"{library}.optim"),
        "data": maker(T),
        "loss": loss,
        "math": math,
        "trace": wrap or _untouched,
        "__name__": "program",
    }


def _untouched(function: Any) -> Any:
    return function


def execute(program: Program, library: str, wrap: Callable[..., Any] | None = None) -> Outcome:
    """Run `program`, its function wrapped by `wrap`."""
    names = namespace(library, wrap)
    T = names["T"]
    T.manual_seed(program.seed)
    T.set_default_dtype(T.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(program.definition(), "<program>", "exec")
        exec(code, names)
        step = names["step"] = names["trace"](names["function"])
        outcome = Outcome([])
        for number, call in enumerate(program.calls):
            seen = _call(names, call.lines(number))
            if any(TWICE in error for error in seen.errors):
                outcome.ended = True
                break
            outcome.calls.append(seen)
    if wrap is not None:
        stats, outcome.refusal = step.stats(), step.eager_reason or ""
        outcome.replays, outcome.variants = stats["replays"], stats["variants"]
    return outcome


def _call(names: dict[str, Any], lines: list[str]) -> Observation:
    errors = tuple(found for line in lines for found in _run(names, line))
    gc.collect(0)
    seen = Observation(errors)
    tensors: dict[str, Any] = {}
    for path, value in _named(names):
        if is_tensor(value):
            tensors[path] = value
            seen.values[path] = look(value)
        else:
            seen.values[path] = value
    first: dict[int, str] = {}
    seen.same = {path: first.setdefault(id(value), path) for path, value in tensors.items()}
    seen.strides = {path: _steps(t) for path, t in tensors.items() if path[0] in WRITABLE}
    seen.shared = _shared(tensors)
    seen.generator = names["T"].get_rng_state().numpy().tobytes()
    return seen


def _run(names: dict[str, Any], line: str) -> Iterator[str]:
    """Run a line; yields what it raises."""
    try:
        exec(line, names)
    except Exception as error:  # noqa: BLE001  (any exception is what the program does)
        text = (str(error).splitlines() or [""])[0]
        # A replay counts the writes to a tensor as one, and knows the tensor that was written to,
        # not the view of it that an op has kept.
        text = re.sub("(modified by an inplace operation).*", r"\1", text)
        if isinstance(error, RecursionError):  # what was being done is chance
            text = ""
        yield f"{type(error).__name__}: {text}"


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor of either library; none of its properties is read."""
    return hasattr(type(value), "retain_grad")


def look(value: Any) -> Seen | str:
    """A tensor as seen now, or the error that a look raises."""
    try:
        return Seen(
            value.detach().numpy().copy(),
            str(value.dtype).split(".")[-1],
            value.requires_grad,
            value.is_leaf,
        )
    except RuntimeError as error:
        return str(error).splitlines()[0]


def _named(names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Tensors and numbers that the program can reach, by path."""
    for name, value in list(names.items()):
        if name not in BUILT_IN and not name.startswith("__") and not isinstance(value, type):
            yield from _parts(name, value)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_tensor(value):
        yield from _tensor(name, value)
    elif isinstance(value, (int, float, str, type(None))):
        yield name, value
    elif isinstance(value, (list, tuple)):
        yield f"type({name})", type(value).__name__
        for i, item in enumerate(value):
            yield from _parts(f"{name}[{i}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(f"{name}[{key!r}]", item)
    elif hasattr(value, "named_parameters"):
        yield from _module(name, value)
    elif hasattr(value, "param_groups"):
        state = value.state_dict()
        yield from _parts(f"{name}.state", state["state"])
        yield from _parts(f"{name}.groups", state["param_groups"])
    elif hasattr(value, "get_last_lr"):
        yield from _parts(f"{name}.rates", [*value.get_last_lr(), value.last_epoch])
    elif type(value).__module__ == "program":
        yield from _parts(name, vars(value))


def _tensor(name: str, tensor: Any) -> Iterator[tuple[str, Any]]:
    yield name, tensor
    try:
        grad = tensor.grad if tensor.is_leaf else None
    except RuntimeError:  # a view that cannot be found again on the tape
        return
    if grad is not None:
        yield f"{name}.grad", grad


def _module(name: str, module: Any) -> Iterator[tuple[str, Any]]:
    for key, item in (*module.named_parameters(), *module.named_buffers()):
        yield from _tensor(f"{name}.{key}", item)
    for key, child in module.named_modules():
        yield f"{name}.{key}.training", child.training
    for key in ("held", "count"):
        if key in vars(module):
            yield from _parts(f"{name}.{key}", vars(module)[key])


def _steps(tensor: Any) -> tuple[int, ...]:
    """Strides where they matter; none for an expanded tensor, whose like may be written out."""
    steps = tuple(s for s, extent in zip(tensor.stride(), tensor.shape) if extent > 1)
    return () if 0 in steps or not tensor.numel() else steps


def _shared(tensors: dict[str, Any]) -> frozenset[tuple[str, str]]:
    """Pairs of paths, one of them of what the function may have made, that share memory."""
    spans = {}
    for path, value in tensors.items():
        array = value.detach().numpy()
        if array.size:
            spans[path] = np.lib.array_utils.byte_bounds(array)
    return frozenset(
        (a, b)
        for a, (low, high) in spans.items() if a[0] in WRITABLE or a.endswith(".grad")
        for b, (start, stop) in spans.items() if a != b and low < stop and start < high
    )
