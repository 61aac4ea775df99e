"""Hooks of modules: functions called before and after `forward`, and when gradients arrive."""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ...frontend.autograd import Function
from ...frontend.hooks import RemovableHandle
from ...frontend.mode import MODE
from ...frontend.state import GUARDED, VERSIONS
from ...frontend.tensor import Tensor

_numbers = itertools.count()
Table = OrderedDict[int, Any]


class HookHandle(RemovableHandle):
    """Removes a hook from its table, and from the tables that hold options for it."""

    def __init__(self, table: Table, options: tuple[Table, ...] = ()) -> None:
        self.id = next(_numbers)
        self.tables = (table, *options)

    @classmethod
    def register(cls, table: Table, hook: Any, prepend: bool = False) -> HookHandle:
        """Enter `hook` in `table`."""
        handle = cls(table)
        handle.enter(table, hook, prepend)
        return handle

    def enter(self, table: Table, hook: Any, prepend: bool) -> None:
        """Put `hook` into `table` under this handle's number."""
        table[self.id] = hook
        if prepend:
            table.move_to_end(self.id, last=False)
        VERSIONS.structure += 1

    def remove(self) -> None:
        """Take the hook away; doing it twice is fine."""
        for table in self.tables:
            table.pop(self.id, None)
        VERSIONS.structure += 1


class GlobalHooks:
    """Hooks of all modules, in tables named like those that each module has of its own."""

    def __init__(self) -> None:
        self._forward_pre_hooks: Table = OrderedDict()
        self._forward_hooks: Table = OrderedDict()
        self._forward_hooks_always_called: Table = OrderedDict()
        self._forward_hooks_with_kwargs: Table = OrderedDict()
        self._backward_pre_hooks: Table = OrderedDict()
        self._backward_hooks: Table = OrderedDict()


GLOBAL = GlobalHooks()
GUARDED.append(GlobalHooks)


class Hooks:
    """The part of `Module` that registers and runs hooks.

    `_hooked` says whether any were ever registered: a call of a module without hooks checks nothing
    else. It stays set when they are removed.
    """

    _hooked: bool = False
    _forward_pre_hooks: Table
    _forward_pre_hooks_with_kwargs: Table
    _forward_hooks: Table
    _forward_hooks_with_kwargs: Table
    _forward_hooks_always_called: Table
    _backward_hooks: Table
    _backward_pre_hooks: Table
    _is_full_backward_hook: bool | None

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; it may return other arguments."""
        self._hooked = True
        handle = HookHandle(self._forward_pre_hooks, (self._forward_pre_hooks_with_kwargs,))
        handle.enter(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward; it may return another output."""
        self._hooked = True
        options = (self._forward_hooks_with_kwargs, self._forward_hooks_always_called)
        handle = HookHandle(self._forward_hooks, options)
        handle.enter(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)`; it may return another `grad_input`."""
        if self._is_full_backward_hook is False:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )
        self._hooked = True
        self._is_full_backward_hook = True
        return HookHandle.register(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)`; it may return another `grad_output`."""
        self._hooked = True
        return HookHandle.register(self._backward_pre_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The old name of `register_full_backward_hook`, on the output's tape node only."""
        if self._is_full_backward_hook is True:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )
        self._hooked = True
        self._is_full_backward_hook = False
        return HookHandle.register(self._backward_hooks, hook)

    # --- running them -------------------------------------------------------------------------

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        result = None
        try:
            args, kwargs = self._run_forward_pre_hooks(args, kwargs)
            gradients = self._gradient_hooks()
            if gradients is not None:
                args = gradients.watch_inputs(args)
            result = self.forward(*args, **kwargs)  # type: ignore[attr-defined]
            result = self._run_forward_hooks(args, kwargs, result, called)
            if gradients is not None:
                result = gradients.watch_outputs(result)
            if self._is_full_backward_hook is False:
                self._watch_last_node(result)
            return result
        except Exception:
            self._run_always_called(args, kwargs, result, called)
            raise

    def _run_forward_pre_hooks(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        own = self._forward_pre_hooks
        for number, hook in (*GLOBAL._forward_pre_hooks.items(), *own.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
                continue
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def _run_forward_hooks(self, args: Any, kwargs: Any, result: Any, called: set[int]) -> Any:
        for number, hook in (*GLOBAL._forward_hooks.items(), *self._forward_hooks.items()):
            called.add(number)
            changed = self._run_forward_hook(number, hook, args, kwargs, result)
            result = result if changed is None else changed
        return result

    def _run_forward_hook(self, number: int, hook: Any, args: Any, kwargs: Any, result: Any) -> Any:
        if number in self._forward_hooks_with_kwargs or number in GLOBAL._forward_hooks_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_always_called(self, args: Any, kwargs: Any, result: Any, called: set[int]) -> None:
        """After an error: the hooks that asked for it. Their own errors become warnings."""
        always = {**GLOBAL._forward_hooks_always_called, **self._forward_hooks_always_called}
        for number, hook in (*GLOBAL._forward_hooks.items(), *self._forward_hooks.items()):
            if number not in always or number in called:
                continue
            try:
                self._run_forward_hook(number, hook, args, kwargs, result)
            except Exception as error:  # noqa: BLE001  (it is reported; the first error is raised)
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was "
                    f"silenced as another error was raised in forward: {error}",
                    stacklevel=4,
                )

    def _gradient_hooks(self) -> GradientHooks | None:
        before = [*GLOBAL._backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
        after = list(GLOBAL._backward_hooks.values())
        if self._is_full_backward_hook:
            after += self._backward_hooks.values()
        return GradientHooks(self, before, after) if before or after else None

    def _watch_last_node(self, result: Any) -> None:
        while not isinstance(result, Tensor):
            values = result.values() if isinstance(result, dict) else result
            result = next(v for v in values if not isinstance(result, dict) or _is_tensor(v))
        node = result.grad_fn
        for hook in self._backward_hooks.values() if node is not None else ():
            add_node_hook(node, lambda grads, outputs, hook=hook: hook(self, grads, outputs))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def add_node_hook(node: Any, hook: Callable[..., Any]) -> None:
    """Call `hook(grad_inputs, grad_outputs)` when backward has visited `node`."""
    node.hooks = [*(node.hooks or ()), hook]


class BackwardHookFunction(Function):
    """The identity: its tape node is where a module's gradients are seen."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        return args

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class GradientHooks:
    """The full backward hooks of one call of a module."""

    def __init__(self, module: Any, before: list[Any], after: list[Any]) -> None:
        self.module = module
        self.before = before
        self.after = after
        self.grad_outputs: Any = None
        self.watched: list[int] | None = None
        self.inputs = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Pass the arguments that require grad through a node that calls the hooks."""
        self.inputs = len(args)
        args, self.watched = self._through_identity(args, self._inputs_done)
        return args

    def watch_outputs(self, result: Any) -> Any:
        """Pass the results through a node that notes their gradients."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=4,
            )
            return result
        single = isinstance(result, Tensor)
        results = (result,) if single else result
        self.outputs = len(results)
        results, self.watched_outputs = self._through_identity(results, self._outputs_arrived)
        return results[0] if single else results

    def _through_identity(
        self, values: tuple[Any, ...], hook: Callable[..., Any]
    ) -> tuple[tuple[Any, ...], list[int] | None]:
        where = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
        if not MODE.grad or not any(values[i].requires_grad for i in where):
            return values, None
        passed = BackwardHookFunction.apply(*(values[i] for i in where))
        add_node_hook(passed[0]._grad_fn, hook)
        fresh = list(values)
        for i, value in zip(where, passed, strict=True):
            fresh[i] = value
        return tuple(fresh), where

    def _outputs_arrived(self, grads: tuple[Any, ...], outputs: tuple[Any, ...]) -> Any:
        arrived = _spread(outputs, self.watched_outputs, self.outputs)
        for hook in self.before:
            changed = hook(self.module, arrived)
            if changed is not None:
                arrived = _checked(changed, len(arrived), "Backward pre hook", "grad_output")
        self.grad_outputs = arrived
        if self.watched is None:
            nothing = (None,) * self.inputs
            for hook in self.after:
                changed = hook(self.module, nothing, arrived)
                if changed is not None and any(grad is not None for grad in changed):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
            self.grad_outputs = None
        return tuple(arrived[i] for i in self.watched_outputs) if self.before else None

    def _inputs_done(self, grads: tuple[Any, ...], outputs: tuple[Any, ...]) -> Any:
        if self.grad_outputs is None:
            return None  # the gradient came round the module, not through it
        inputs = _spread(grads, self.watched, self.inputs)
        for hook in self.after:
            changed = hook(self.module, inputs, self.grad_outputs)
            if changed is not None:
                inputs = _checked(changed, len(inputs), "Backward hook", "grad_input")
        self.grad_outputs = None
        assert self.watched is not None
        return tuple(inputs[i] for i in self.watched)


def _spread(grads: tuple[Any, ...], where: list[int] | None, length: int) -> tuple[Any, ...]:
    """`grads` at their places among `length` entries, None elsewhere."""
    spread: list[Any] = [None] * length
    for i, grad in zip(where or (), grads, strict=False):
        spread[i] = grad
    return tuple(spread)


def _checked(changed: Any, length: int, who: str, what: str) -> tuple[Any, ...]:
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != length:
        raise RuntimeError(
            f"{who} returned an invalid number of {what}, got {len(changed)}, but expected {length}"
        )
    return changed


def _register_global(table: Table, hook: Callable[..., Any], *options: Table) -> RemovableHandle:
    Hooks._hooked = True
    handle = HookHandle(table, options)
    handle.enter(table, hook, False)
    return handle


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module."""
    return _register_global(GLOBAL._forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module."""
    options = (GLOBAL._forward_hooks_with_kwargs, GLOBAL._forward_hooks_always_called)
    handle = _register_global(GLOBAL._forward_hooks, hook, *options)
    assert isinstance(handle, HookHandle)
    if with_kwargs:
        GLOBAL._forward_hooks_with_kwargs[handle.id] = True
    if always_call:
        GLOBAL._forward_hooks_always_called[handle.id] = True
    return handle


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` for every module."""
    return _register_global(GLOBAL._backward_hooks, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_output)` for every module."""
    return _register_global(GLOBAL._backward_pre_hooks, hook)
