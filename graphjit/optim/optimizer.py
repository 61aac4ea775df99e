"""`Optimizer`: parameter groups, state, and their saving; `Elementwise`: the optimizers' driver.

An elementwise optimizer states its formula once, over a namespace of ops. Eagerly the driver runs
it on NumPy arrays, block by block so that the operands stay in cache; while a recorder is on (or
the step is to be differentiated) on tensors, so that it is captured like any other op.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..frontend.autograd import enable_grad
from ..frontend.dispatch import assign
from ..frontend.hooks import RemovableHandle
from ..frontend.hyper import guard_state, hyper, step_value, structure
from ..frontend.mode import MODE, grad_mode
from ..frontend.state import GUARDED, VERSIONS
from ..frontend.tape import TENSORS
from ..frontend.tensor import Tensor
from ..frontend.waiting import about_to_write
from ..nn.modules.hooks import HookHandle, Table
from ..nn.modules.naming import typename
from ..ops.core import ARRAYS
from ..ops.native import LARGE
from .compiled import update_large
from .groups import ParamGroup, ParamGroups, State, counting

#: elements per block: the arrays of an Adam update then fit the L2 cache
BLOCK = 32768

required = object()
_MISSING = object()


class Optimizer:
    """Base of all optimizers.

    Args:
        params: tensors, pairs (name, tensor), or dicts of a group's tensors and options.
        defaults: options of groups that do not set them.

    Attributes:
        param_groups: list of `ParamGroup`.
        state: per-parameter dicts.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {typename(params)}"
            )
        self.defaults = defaults
        self.state = State()
        self.param_groups: list[ParamGroup] = ParamGroups()
        self._make_hook_tables()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def _make_hook_tables(self) -> None:
        self._optimizer_step_pre_hooks: Table = OrderedDict()
        self._optimizer_step_post_hooks: Table = OrderedDict()
        self._optimizer_state_dict_pre_hooks: Table = OrderedDict()
        self._optimizer_state_dict_post_hooks: Table = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks: Table = OrderedDict()
        self._optimizer_load_state_dict_post_hooks: Table = OrderedDict()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more tensors, with options of their own.

        TypeError or ValueError for what cannot be optimized.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = dict(param_group)
        _take_params(group)
        for parameter in group["params"]:
            self._check_parameter(parameter)
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            group.setdefault(name, default)
        self._check_group(group)
        self.param_groups.append(ParamGroup(group))

    def _check_parameter(self, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, but one of the params is "
                + typename(parameter)
            )
        if not self.defaults.get("differentiable") and not (
            parameter.is_leaf or parameter._retains_grad
        ):
            raise ValueError("can't optimize a non-leaf Tensor")

    def _check_group(self, group: dict[str, Any]) -> None:
        mine = {id(p) for p in group["params"]}
        if len(mine) != len(group["params"]):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error; see github.com/pytorch/pytorch/issues/40967 for more "
                "information",
                stacklevel=4,
            )
        for other in self.param_groups:
            if ("param_names" in other) != ("param_names" in group):
                how = "with" if "param_names" in group else "without"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {how} names to the optimizer"
                )
            if not mine.isdisjoint(map(id, other["params"])):
                raise ValueError("some parameters appear in more than one parameter group")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero."""
        plain = MODE.recorder is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none and plain:
                    parameter._grad = None
                elif set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.detach_()
                    parameter.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients; every subclass defines it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def __setattr__(self, name: str, value: Any) -> None:
        recorder = MODE.recorder
        taken = recorder is not None and recorder.assign(self, name, value)
        if not taken and self.__dict__.get(name, _MISSING) is not value:
            VERSIONS.structure += 1
        object.__setattr__(self, name, counting(name, value))

    def __delattr__(self, name: str) -> None:
        VERSIONS.structure += 1
        object.__delattr__(self, name)

    # --- copying and saving -------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        VERSIONS.structure += 1
        self.__dict__.update({name: counting(name, value) for name, value in state.items()})
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        for group in self.param_groups:
            for name, default in self.__dict__.get("defaults", {}).items():
                group.setdefault(name, default)

    def state_dict(self) -> dict[str, Any]:
        """The state by parameter number, and the groups with numbers in place of parameters."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: dict(value)
            for key, value in self.state.items()
            if value
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; ValueError if the groups do not match."""
        given = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, given)
            given = given if changed is None else changed
        saved = given["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        pairs = list(zip(self.param_groups, saved, strict=True))
        if any(len(old["params"]) != len(new["params"]) for old, new in pairs):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        numbered = dict(zip(
            chain.from_iterable(new["params"] for _, new in pairs),
            chain.from_iterable(old["params"] for old, _ in pairs),
            strict=True,
        ))
        self.state = State()
        for key, entries in given["state"].items():
            parameter = numbered.get(key)
            if parameter is None:
                self.state[key] = deepcopy(entries)
            else:
                self.state[parameter].update(
                    {name: _fitted(name, value, parameter) for name, value in entries.items()}
                )
        self.param_groups = ParamGroups(_merged(old, deepcopy(new)) for old, new in pairs)
        self.__setstate__({})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    # --- hooks --------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return other arguments."""
        self._watch_step()
        return HookHandle.register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        self._watch_step()
        return HookHandle.register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict`."""
        return HookHandle.register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict`; it may return another."""
        return HookHandle.register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another."""
        return HookHandle.register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return HookHandle.register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    def _watch_step(self) -> None:
        """Put the hooked step before the plain one, which so stays as fast as it is."""
        if not isinstance(self.__dict__.get("step"), HookedStep):
            self.step = HookedStep(self, self.step)  # type: ignore[method-assign]


GUARDED.append(Optimizer)


class HookedStep:
    """`step` with an optimizer's hooks around it."""

    def __init__(self, optimizer: Optimizer, step: Callable[..., Any]) -> None:
        functools.update_wrapper(self, step)
        self.optimizer = optimizer
        self.step = step

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        optimizer = self.optimizer
        for hook in optimizer._optimizer_step_pre_hooks.values():
            changed = hook(optimizer, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    f"{hook} must return None or a tuple of (new_args, new_kwargs), but got "
                    f"{changed}."
                )
            args, kwargs = changed
        result = self.step(*args, **kwargs)
        for hook in optimizer._optimizer_step_post_hooks.values():
            hook(optimizer, args, kwargs)
        return result


def _take_params(group: dict[str, Any]) -> None:
    """Make a list of a group's `params`, and of their names where they come as pairs."""
    params = group["params"]
    if isinstance(params, Tensor):
        params = [params]
    elif isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        )
    params = list(params)
    named = [isinstance(p, tuple) for p in params]
    if any(named):
        if not all(named):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        group["param_names"] = [name for name, _ in params]
        params = [p for _, p in params]
    group["params"] = params


def _fitted(name: str, value: Any, parameter: Tensor) -> Any:
    """A loaded entry of the state: a copy, in the parameter's dtype unless it is a step count."""
    if not isinstance(value, Tensor):
        return deepcopy(value)
    value = value.detach().clone()
    keep = name == "step" or not parameter.is_floating_point() or not value.is_floating_point()
    return value if keep else value.to(parameter.dtype)


def _merged(old: ParamGroup, loaded: dict[str, Any]) -> ParamGroup:
    """A loaded group around the parameters (and their names) of the group it replaces."""
    loaded["params"] = old["params"]
    if "param_names" in old and "param_names" not in loaded:
        loaded["param_names"] = old["param_names"]
    return ParamGroup(loaded)


# --- the driver -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Entry:
    """A parameter with what is kept for it, as arrays.

    `step` is None where steps are not counted; `fresh` until the first update; `alike` unless the
    parameter has been given data of another shape or dtype since.
    """

    parameter: Tensor
    array: np.ndarray
    dtype: type[np.generic]
    step: Tensor | None
    kept: tuple[Tensor, ...]
    arrays: tuple[np.ndarray, ...]
    large: bool
    fresh: bool
    alike: bool


@dataclass(slots=True)
class Plan:
    """What a group's entries say, as of a version of the group.

    `entries` hold while `VERSIONS.structure` is `structure`. `numbers` are those of the last
    update, which was one of (step, fresh, dtype) = `key`: arrays of that dtype, if it is not None.
    """

    version: int
    flags: tuple[bool, ...]
    names: tuple[str, ...]
    hypers: tuple[Any, ...]
    structure: int = -1
    entries: Sequence[Entry] = ()
    key: Any = None
    numbers: tuple[Any, ...] = ()


class Elementwise(Optimizer):
    """An optimizer whose update of an element reads nothing but that element of its tensors.

    A subclass says which entries of a group are flags and which are numbers, which tensors it keeps
    (`tensors`), which numbers the update needs (`numbers`), and the update itself (`update`).
    """

    #: entries read as truth values, in order
    flag_keys: tuple[str, ...] = ()
    #: entries read as numbers, in order; (key, index) for one of a tuple
    number_keys: tuple[str | tuple[str, int], ...] = ()
    #: whether updates are counted in `state["step"]`
    counts_steps: bool = True

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        """Names of the tensors kept for each parameter, of its shape."""
        return ()

    def initial(self, name: str, parameter: Tensor, hypers: tuple[Any, ...]) -> np.ndarray:
        """What a kept tensor is before the first update."""
        return np.zeros_like(parameter._array)

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        """The numbers of one update. `fresh`: the kept tensors are initial."""
        return hypers

    def first_differs(self, flags: tuple[bool, ...]) -> bool:
        """Whether `numbers` are others for the first update of a parameter."""
        return False

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        """Change `p` and the kept tensors in place. `F` is a namespace of ops."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients.

        Args:
            closure: evaluates the model anew and returns the loss.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            differentiable = MODE.grad and dict.get(group, "differentiable", False)
            if MODE.recorder is None and not differentiable:
                self._step_arrays(group)
            else:
                with grad_mode(differentiable):
                    self._step_tensors(group)
        return loss

    def _plan(self, group: ParamGroup) -> Plan:
        flags = tuple(structure(group, key) for key in self.flag_keys)
        hypers = tuple(
            hyper(group, key) if isinstance(key, str) else hyper(group, *key)
            for key in self.number_keys
        )
        return Plan(group.version, flags, self.tensors(flags), hypers)

    def _kept(self, parameter: Tensor, plan: Plan) -> tuple[dict[str, Any], bool]:
        """A parameter's state, and whether it has been made just now."""
        # What is read here is guarded as a whole, by `guard_state`.
        state = self.state.of(parameter)
        names = ("step", *plan.names) if self.counts_steps else plan.names
        fresh = False
        for name in names:
            if dict.get(state, name) is None:
                fresh = True
                array = (
                    np.zeros((), np.float32)
                    if name == "step"
                    else self.initial(name, parameter, plan.hypers)
                )
                # Made outside the recording: to it, a tensor from outside like any later call's.
                dict.__setitem__(state, name, Tensor._of(array))
        return state, fresh

    def _step_arrays(self, group: ParamGroup) -> None:
        plan = group.plan
        if plan is None or plan.version != group.version:
            plan = self._plan(group)
            tensor_valued = any(isinstance(v, Tensor) for v in dict.values(group))
            group.plan = None if tensor_valued else plan
        if plan.structure != VERSIONS.structure:
            self._fill_in(plan, dict.__getitem__(group, "params"))
        update, flags, stateful = self.update, plan.flags, self.counts_steps or plan.names
        for entry in plan.entries:
            parameter = entry.parameter
            grad = parameter._grad
            if grad is None:
                continue
            if parameter._array is not entry.array:
                entry = self._entry(parameter, plan)
            about_to_write(parameter)
            alike = entry.alike and _are_alike(grad._array, entry.array)
            dtype = entry.dtype if alike else None
            if stateful:
                self._advance(entry, plan, dtype)
            elif plan.key is not dtype or not plan.numbers:
                self._set_numbers(plan, dtype, None, False, dtype)
            if not alike:
                with grad_mode(False):  # with PyTorch's promotion, or its error
                    update(TENSORS, flags, plan.numbers, parameter, grad, *entry.kept)
            elif entry.large:
                arrays = (entry.array, grad._array, *entry.arrays)
                update_large(update, flags, plan.numbers, arrays, BLOCK)
            else:
                update(ARRAYS, flags, plan.numbers, entry.array, grad._array, *entry.arrays)
            parameter._version[0] += 1

    def _fill_in(self, plan: Plan, parameters: Sequence[Tensor]) -> None:
        """Find the arrays of all parameters that have a gradient."""
        plan.entries = [self._entry(p, plan) for p in parameters if p._grad is not None]
        complete = len(plan.entries) == len(parameters)
        plan.structure = VERSIONS.structure if complete else -1

    def _entry(self, parameter: Tensor, plan: Plan) -> Entry:
        state, fresh = self._kept(parameter, plan)
        array = parameter._array
        kept = tuple(state[name] for name in plan.names)
        step = state["step"] if self.counts_steps else None
        arrays = tuple(tensor._array for tensor in kept)
        return Entry(
            parameter, array, array.dtype.type, step, kept, arrays,
            array.size >= min(LARGE, BLOCK), fresh, all(_are_alike(kept, array) for kept in arrays),
        )  # fmt: skip

    def _advance(self, entry: Entry, plan: Plan, dtype: type[np.generic] | None) -> None:
        """Count the step, and set `plan.numbers` for it."""
        step = None
        if entry.step is not None:
            count = entry.step._array
            step = count.item() + 1.0
            count.fill(step)
            entry.step._version[0] += 1
        key = (step, entry.fresh, dtype)
        if plan.key != key:
            self._set_numbers(plan, key, step, entry.fresh, dtype)
        entry.fresh = False
        for tensor in entry.kept:
            tensor._version[0] += 1

    def _set_numbers(
        self, plan: Plan, key: Any, step: Any, fresh: bool, dtype: type[np.generic] | None
    ) -> None:
        numbers = self.numbers(plan.flags, plan.hypers, step, fresh)
        if dtype is not None:  # NumPy takes twice as long over a Python float
            numbers = tuple(np.array(number, dtype) for number in numbers)
        plan.numbers = numbers
        plan.key = key

    def _step_tensors(self, group: ParamGroup) -> None:
        plan = self._plan(group)
        for parameter in group["params"]:
            grad = parameter.grad
            if grad is None:
                continue
            state, fresh = self._kept(parameter, plan)
            step = None
            guard_state(self, parameter, state)
            if self.counts_steps:
                count = dict.__getitem__(state, "step")
                count += 1
                step = step_value(count)
            numbers = self.numbers(plan.flags, plan.hypers, step, fresh)
            if fresh and self.first_differs(plan.flags):
                VERSIONS.structure += 1  # so that this recording is not replayed
            kept = [dict.__getitem__(state, name) for name in plan.names]
            self.update(TENSORS, plan.flags, numbers, parameter, grad, *kept)


def _are_alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def check(condition: bool, message: str) -> None:
    """ValueError unless `condition`."""
    if not condition:
        raise ValueError(message)


def put(target: Any, value: Any) -> None:
    """`target[...] = value`, for arrays and tensors."""
    if isinstance(target, Tensor):
        assign(target, value)
    else:
        target[...] = value


Params = Iterable[Any]
