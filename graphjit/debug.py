"""Looking into traced functions: what is called here runs at every replay, with that call's values.

A plain `print` in a traced function runs while it is recorded, and not again.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from .frontend.mode import MODE
from .frontend.pytree import flatten, unflatten
from .frontend.symnumber import SymNumber
from .frontend.tensor import Tensor


def callback(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call `function(*args, **kwargs)` now, and after every replay, in the order of the program.

    Tensors in `args` and `kwargs` (also in lists, tuples and dicts) come as copies, detached, with
    the values that they have at this place of the program; numbers from `.item()` likewise. Other
    arguments are the same objects each time. What the function returns is dropped; what it does to
    its tensors has no effect on the program. In a replay it runs when the call has done its work;
    an error that it raises reaches the caller then. It may change Python's state as it likes; if
    that is what the traced function itself looks at, the function runs eagerly.
    """
    leaves: list[Any] = []
    tree = flatten((args, kwargs), leaves, _same)

    def run(values: list[Any]) -> None:
        recorder, MODE.recorder = MODE.recorder, None
        try:
            given, named = unflatten(tree, iter(values))
            function(*given, **named)
        finally:
            MODE.recorder = recorder

    if MODE.recorder is not None:
        MODE.recorder.tell(run, function, leaves)
    run([_copy(leaf) for leaf in leaves])


def print(*values: Any, sep: str = " ", end: str = "\n", file: Any = None, **named: Any) -> None:
    """Print now, and at every replay, as `print` does.

    Where the first of `values` is text with braces, it is a format for the others:
    `debug.print("loss {:.3f}, norm {n}", loss, n=norm)`.
    """
    callback(_print, values, named, sep, end, file)


def _print(values: tuple[Any, ...], named: dict[str, Any], sep: str, end: str, file: Any) -> None:
    if values and isinstance(values[0], str) and "{" in values[0]:
        values = (values[0].format(*values[1:], **named),)
    builtins.print(*values, sep=sep, end=end, file=file)


def _same(value: Any) -> Any:
    return value


def _copy(leaf: Any) -> Any:
    if type(leaf) is SymNumber:
        return leaf.value
    return Tensor._of(leaf._array.copy())
