"""`state_dict` and `load_state_dict`: a module's persistent tensors by path, out and in again."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...frontend.hooks import RemovableHandle
from ...frontend.mode import grad_mode
from ...frontend.tensor import Tensor
from ..parameter import Parameter
from .hooks import HookHandle

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` did not find, and what it found too much."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


@dataclass
class Loading:
    """What one `load_state_dict` collects on its way through the modules."""

    assign: bool
    metadata: Mapping[str, Any]
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def load(self, module: Any, state: Mapping[str, Any], prefix: str = "") -> None:
        local_metadata = dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local_metadata["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            state, prefix, local_metadata, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                path = f"{prefix}{name}."
                self.load(child, {k: v for k, v in state.items() if k.startswith(path)}, path)
        keys = _IncompatibleKeys(self.missing, self.unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                    "expected to return new values, if incompatible_keys need to be modified, "
                    "it should be done inplace."
                )


class Saving:
    """The part of `Module` that saves and loads its tensors."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _version: int = 1

    def get_extra_state(self) -> Any:
        """What a subclass wants saved besides its tensors."""
        raise RuntimeError("get_extra_state() is called only where a subclass defines it")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError("set_extra_state() is called only where a subclass defines it")

    def state_dict(
        self,
        *args: Any,
        destination: Any = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """All parameters and persistent buffers by path, sharing their storage.

        Args:
            destination: dict to fill instead of a new one.
            prefix: put before every path.
            keep_vars: the tensors themselves, instead of detached ones.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html"
                "#torch.nn.Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args):])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        return self._run_state_dict_hooks(destination, prefix, local_metadata)

    def _run_state_dict_hooks(self, destination: Any, prefix: str, metadata: Any) -> Any:
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if result is None:
                continue
            if getattr(hook, "_from_public_api", False):
                raise RuntimeError("state_dict post-hook must return None")
            destination = result
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Write this module's own tensors; subclasses may add to it."""
        for name, tensor in self._persistent().items():
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if _overrides(self, "get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _persistent(self) -> dict[str, Tensor | None]:
        buffers = {
            k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set
        }
        return {**self._parameters, **buffers}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy tensors by path into this module's, in place (or put them in place of its own).

        Args:
            state_dict: tensors by path, as `state_dict()` gives them.
            strict: RuntimeError if the paths differ.
            assign: make the given tensors the module's, instead of copying.

        Raises:
            RuntimeError: paths (if `strict`) or shapes do not match.
            TypeError: `state_dict` is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loading = Loading(assign, getattr(state_dict, "_metadata", None) or {})
        state: Any = OrderedDict(state_dict)
        state._metadata = loading.metadata
        loading.load(self, state)
        errors = loading.errors
        if strict:
            _note(errors, "Unexpected key(s)", loading.unexpected)
            _note(errors, "Missing key(s)", loading.missing)
        if errors:
            listed = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}"
            )
        return _IncompatibleKeys(loading.missing, loading.unexpected)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Read this module's own tensors; subclasses may convert old formats first."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = {name: tensor for name, tensor in self._persistent().items() if tensor is not None}
        for name, tensor in own.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, key, tensor, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            unexpected_keys.extend(self._unexpected(state_dict, prefix, own))

    def _load_one(
        self, name: str, key: str, own: Tensor, given: Any, assign: bool, errors: list[str]
    ) -> None:
        if not isinstance(given, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(given)}"
            )
            return
        if own.ndim == 0 and tuple(given.shape) == (1,):
            given = given[0]
        if given.shape != own.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {given.shape} from "
                f"checkpoint, the shape in current model is {own.shape}."
            )
            return
        try:
            if assign:
                self._assign_loaded(name, own, given)
            else:
                with grad_mode(False):
                    own.copy_(given)
        except Exception as error:  # noqa: BLE001  (it becomes a line of the error raised)
            errors.append(
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{own.shape} and whose dimensions in the checkpoint are {given.shape}, an "
                f"exception occurred : {error.args}."
            )

    def _assign_loaded(self, name: str, own: Tensor, given: Tensor) -> None:
        if isinstance(own, Parameter) and not isinstance(given, Parameter):
            given = Parameter(given, requires_grad=own.requires_grad)
        elif isinstance(own, Parameter):
            given.requires_grad_(own.requires_grad)
        setattr(self, name, given)

    def _load_extra_state(
        self, state_dict: Any, prefix: str, strict: bool, missing: list[str], unexpected: list[str]
    ) -> None:
        key = prefix + EXTRA_STATE
        if _overrides(self, "set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing.append(key)
        elif strict and key in state_dict:
            unexpected.append(key)

    def _unexpected(self, state_dict: Any, prefix: str, own: Mapping[str, Any]) -> list[str]:
        found = []
        for key in state_dict:
            if not key.startswith(prefix) or key == prefix + EXTRA_STATE:
                continue
            name, _, rest = key[len(prefix):].partition(".")
            if name not in (self._modules if rest else own):
                found.append(key)
        return found

    # --- hooks --------------------------------------------------------------------------------

    _state_dict_hooks: OrderedDict[int, Callable[..., Any]]
    _state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was "
                "previously registered via register_state_dict_post_hook"
            )
        return HookHandle.register(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict` is made."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return HookHandle.register(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` is made."""
        return HookHandle.register(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, ...)` before this module's tensors are loaded."""
        return HookHandle.register(self._load_state_dict_pre_hooks, _Bound(hook, self))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module's tensors are loaded."""
        return HookHandle.register(self._load_state_dict_post_hooks, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        bound = _Bound(hook, self) if with_module else hook
        return HookHandle.register(self._load_state_dict_pre_hooks, bound)


@dataclass(frozen=True)
class _Bound:
    """A hook with its module; unlike a lambda, it can be copied and pickled."""

    hook: Callable[..., Any]
    module: Any

    def __call__(self, *args: Any) -> Any:
        return self.hook(self.module, *args)


def _overrides(module: Any, name: str) -> bool:
    return getattr(type(module), name) is not getattr(Saving, name)


def _note(errors: list[str], what: str, keys: list[str]) -> None:
    if keys:
        quoted = ", ".join(f'"{key}"' for key in keys)
        errors.insert(0, f"{what} in state_dict: {quoted}. ")
