"""`checkpoint`: backward computes a part of a model again, instead of keeping what it had computed.

Memory is bought with time: of a checkpointed call only the arguments are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..errors import CheckpointError
from ..frontend.autograd import no_grad
from ..frontend.checkpointing import PREFIX, Options, checkpointed
from ..frontend.tensor import Tensor
from ..nn.modules.container import Sequential

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


def noop_context_fn() -> Contexts:
    """Two context managers that do nothing."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate tensors are not kept for backward.

    Backward runs the function again, with the random numbers that it drew, and gives the gradients
    that it would have given: of tensors among the arguments (in lists, tuples and dicts too), of
    parameters and of whatever else the function reaches. Gradients of gradients, `autograd.grad`
    and checkpoints within checkpoints work. A function that would do something else in its second
    run (it looks at a global that has changed, say) is not to be checkpointed.

    In a traced function the recorded backward contains the second run.

    Args:
        use_reentrant: both variants give the same gradients. The reentrant one takes no keyword
            arguments and needs a tensor that requires grad among the arguments; it gives no
            gradients without. It is the default, for PyTorch's sake, with a warning.
        context_fn: makes two context managers, for the run and for the second run.
        determinism_check: "default" to compare how many tensors were saved in the two runs, and
            their shapes and dtypes; "none" not to.
        debug: list what was saved in either run where that differs.
        early_stop: taken for PyTorch's sake: the second run is always a whole one.
        preserve_rng_state: draw the same random numbers in the second run.

    Raises:
        ValueError: an argument that the variant does not take.
        CheckpointError: by backward, if the second run saves other tensors than the first.
        RuntimeError: by backward, if a tensor that the function was given has been written to.
    """
    if use_reentrant is None:
        _warn_default(PREFIX)
        use_reentrant = True
    if use_reentrant:
        _check_reentrant(kwargs, context_fn, debug)
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
            )
            with no_grad():
                return function(*args)
    elif determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check}"
        )
    elif debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    checks = determinism_check == "default" and not use_reentrant
    options = Options(preserve_rng_state, context_fn(), checks, debug)
    return checkpointed(function, args, kwargs, options)


def checkpoint_sequential(
    functions: Sequential | Sequence[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Functions one after the other, in `segments` parts; all but the last are checkpointed.

    Raises:
        ValueError: an unknown keyword argument.
    """
    if use_reentrant is None:
        _warn_default(f"{PREFIX}.checkpoint_sequential")
        use_reentrant = True
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(steps) // segments
    last = size * (segments - 1)
    for start in range(0, last, size or 1):
        part = steps[start : start + size]
        input = checkpoint(
            lambda x, part=part: _in_turn(part, x), input,
            use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state,
        )  # fmt: skip
    return _in_turn(steps[last:], input)


def _in_turn(functions: Sequence[Callable[..., Any]], value: Any) -> Any:
    for function in functions:
        value = function(value)
    return value


def _warn_default(name: str) -> None:
    warnings.warn(
        f"{name}: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
        "recommended, but if you need to preserve the current default behavior, you can pass "
        "use_reentrant=True. Refer to docs for more details on the differences between the two "
        "variants.",
        stacklevel=3,
    )


def _check_reentrant(kwargs: dict[str, Any], context_fn: Any, debug: bool) -> None:
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug:
        raise ValueError(
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
        )


__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential", "noop_context_fn"]
