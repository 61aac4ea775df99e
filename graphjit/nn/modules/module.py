"""`Module`: the base of all layers and models.

A module's parameters, buffers and submodules are kept in three tables and, at the same time, as
plain attributes, so that reading `self.weight` is as fast as reading any attribute.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

from ...frontend.mode import MODE
from ...frontend.state import GUARDED, VERSIONS
from ...frontend.tensor import Tensor
from ..parameter import Buffer, Parameter
from .conversion import Conversion
from .hooks import (
    Hooks,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from .naming import public, typename
from .registry import Registry
from .state_dict import Saving
from .traversal import Traversal

_MISSING = object()
_TABLES = ("_parameters", "_buffers", "_modules")


class Module(Traversal, Hooks, Saving, Conversion):
    """A layer or a model: define `__init__` and `forward`, and call it.

    Parameters and modules assigned as attributes are registered.
    """

    training: bool
    dump_patches: bool = False
    call_super_init: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = object.__new__(cls)
        if MODE.recorder is not None:
            MODE.recorder.modules[id(self)] = self
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            self._check_no_arguments(args, kwargs)
        attributes = self.__dict__
        attributes["training"] = True
        for table in _TABLES:
            attributes[table] = Registry(self)
        attributes["_non_persistent_buffers_set"] = set()
        attributes["_is_full_backward_hook"] = None
        for table in (
            "_backward_pre_hooks", "_backward_hooks", "_forward_hooks",
            "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs", "_state_dict_hooks", "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
        ):  # fmt: skip
            attributes[table] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def _check_no_arguments(self, args: Any, kwargs: Any) -> None:
        name = f"{type(self).__name__}.__init__()"
        if kwargs:
            raise TypeError(f"{name} got an unexpected keyword argument '{next(iter(kwargs))}'")
        if args:
            raise TypeError(
                f"{name} takes 1 positional argument but {len(args) + 1} were given"
            )

    # --- calling ------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # --- members as attributes ----------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__
        tables = (attributes.get(table, ()) for table in ("_parameters", "_buffers", "_modules"))
        if name in attributes and any(name in table for table in tables):
            return getattr(self, name)  # a subclass's own `__getattr__` may ask for it
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        same = attributes.get(name, _MISSING) is value
        if same and (MODE.recorder is None or isinstance(value, (Parameter, Module))):
            return
        parameters = attributes.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_buffers", "_modules")
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    f"({public('nn.Parameter')} or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module) or name in attributes.get("_modules", ()):
            self._set_module(name, value)
        elif isinstance(value, Buffer) or name in attributes.get("_buffers", ()):
            self._set_buffer(name, value)
        else:
            recorder = MODE.recorder
            if not (recorder is not None and recorder.assign(self, name, value)) and not same:
                VERSIONS.structure += 1
            object.__setattr__(self, name, value)

    def _set_module(self, name: str, value: Any) -> None:
        modules = self.__dict__.get("_modules")
        if modules is None:
            raise AttributeError("cannot assign module before Module.__init__() call")
        if isinstance(value, Module):
            self._forget(name, "_parameters", "_buffers")
        elif value is not None:
            raise TypeError(
                f"cannot assign '{typename(value)}' as child module '{name}' "
                f"({public('nn.Module')} or None expected)"
            )
        self._write("_modules", name, value)

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{typename(value)}' as buffer '{name}' "
                f"({public('nn.Buffer')}, {public('Tensor')} or None expected)"
            )
        if isinstance(value, Buffer):
            persistent = value.persistent
        else:
            persistent = name not in self._non_persistent_buffers_set
        self.register_buffer(name, value, persistent)

    def _forget(self, name: str, *tables: str) -> None:
        """Let go of whatever `name` was, so that it can be registered as something else."""
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        for table in tables:
            dict.pop(self.__dict__[table], name, None)

    def _write(self, table: str, name: str, value: Any) -> None:
        recorder = MODE.recorder
        known = table == "_buffers" and name in self.__dict__[table]
        if recorder is not None and known and recorder.assign(self, name, value):
            dict.__setitem__(self.__dict__[table], name, value)
            self.__dict__[name] = value
            return
        # A subclass that restores __dict__ by itself leaves plain dicts: so write to both here.
        self.__dict__[table][name] = value
        self.__dict__[name] = value
        VERSIONS.structure += 1

    def __delattr__(self, name: str) -> None:
        for table in _TABLES:
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                self.__dict__.pop(name, None)
                self._non_persistent_buffers_set.discard(name)
                break
        else:
            object.__delattr__(self, name)
        VERSIONS.structure += 1

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name."""
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' "
                f"({public('nn.Parameter')} or None required)"
            )
        if param is not None and param._grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, compute "
                "the value in the forward() method."
            )
        self._write("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; `persistent`: it is in the state dict."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._write("_buffers", name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def _check_name(self, what: str, name: Any, table: str) -> None:
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {typename(name)}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under `name`."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        self._write("_modules", name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    def __getstate__(self) -> dict[str, Any]:
        members = {name for table in _TABLES for name in self.__dict__[table]}
        return {name: value for name, value in self.__dict__.items() if name not in members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for table in _TABLES:
            self.__dict__[table] = Registry(self, self.__dict__[table].items())

    def __dir__(self) -> list[str]:
        keys = {*dir(type(self)), *self.__dict__}
        return sorted(key for key in keys if not key[0].isdigit())

    # --- the whole tree -----------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on every submodule, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or evaluation mode, here and in all submodules."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")  # noqa: TRY004  (PyTorch's class)
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop training all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad.detach_()
                parameter.grad.zero_()

    # --- printing -----------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What is printed between the parentheses, before the submodules."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + indent(repr(m)) for name, m in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


GUARDED.append(Module)


def indent(text: str, by: int = 2) -> str:
    """`text` with all lines but the first moved to the right."""
    return text.replace("\n", "\n" + " " * by)


__all__ = [
    "Module",
    "indent",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]
