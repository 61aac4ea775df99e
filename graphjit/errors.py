"""Every exception that graphjit raises on purpose, and the user's line that it names.

Errors that PyTorch has keep PyTorch's class and wording; the classes here are the rest.
"""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from dataclasses import dataclass
from types import FrameType

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class GraphjitError(Exception):
    """Base of the errors that have no counterpart in PyTorch."""


class VerifyError(GraphjitError):
    """A graph breaks a rule of the IR: a fault of graphjit, found by `GRAPHJIT_CHECK`."""


class CompileError(GraphjitError):
    """A kernel could not be built; the node runs on the host unless `GRAPHJIT_STRICT` is set."""


class CheckFailed(GraphjitError):
    """Check number `index` of a graph is false: this is not a call that the graph was made for."""

    def __init__(self, index: int) -> None:
        super().__init__(f"check {index} of the graph is false")
        self.index = index


class TraceRefused(GraphjitError):
    """Recording met something that a replay could get wrong; the function runs eagerly."""


class CheckpointError(RuntimeError):
    """A checkpointed function did something else when backward ran it again."""


class TraceWarning(UserWarning):
    """A traced function does something that its replays will not do."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def describe(self) -> str:
        """`train.py:41, train_step:  loss = ...`"""
        text = linecache.getline(self.file, self.line).strip()
        return f"{self}, {self.function}:  {text}" if text else f"{self}, {self.function}"


def user_frame() -> FrameType | None:
    """The innermost frame outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


def user_location() -> Location | None:
    """The user's line that is being executed."""
    frame = user_frame()
    if frame is None:
        return None
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def warn(message: str) -> None:
    """A UserWarning at the user's line."""
    frame = user_frame()
    if frame is None:
        warnings.warn(message, stacklevel=2)
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__")
    warnings.warn_explicit(
        message, UserWarning, frame.f_code.co_filename, frame.f_lineno, module, registry
    )


def locate(error: Exception) -> Exception:
    """`error` with the user's line appended to its message, once."""
    where = user_location()
    if where is not None and not getattr(error, "_located", False):
        message = str(error.args[0]) if error.args else ""
        error.args = (f"{message}\n  in {where.describe()}", *error.args[1:])
        error._located = True  # type: ignore[attr-defined]
    return error
