"""`Tensor`: an array, its place on the tape, and PyTorch's methods (from the mixins beside it)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import dtypes
from ..device import CPU, Device
from ..dtypes import DType
from ..errors import locate
from ..ops.core import Op, scalar_type, type_name
from .dispatch import apply, assign
from .methods import Methods
from .mode import MODE, grad_mode
from .size import Size
from .state import VERSIONS, restructured
from .tape import TENSORS, Node, propagate, run_backward
from .waiting import DataVersion, about_to_write


@dataclass(frozen=True, slots=True)
class View:
    """How a tensor looks into another: `chain` of view ops applied to `base`.

    `owner` is the tensor that the view was taken of, or the one that that is a view of. `version`
    is that of the storage when the view's place on the tape was last right. `leaf` is a view on the
    way from the owner, `depth` views away from it, that required grad by itself.
    """

    owner: Tensor
    chain: tuple[tuple[Op, dict[str, Any]], ...]
    version: int
    differentiable: bool
    leaf: Tensor | None = None
    depth: int = 0

    @property
    def base(self) -> Tensor:
        """The owner; if that was given another shape in place since, what it was before."""
        now = self.owner._view
        return self.owner if now is None else now.owner

    def origin(self) -> tuple[Tensor, tuple[tuple[Op, dict[str, Any]], ...]]:
        """The tensor whose place on the tape gives this view's, and the views between them."""
        leaf = self.leaf
        if leaf is not None and leaf._requires_grad and leaf._grad_fn is None:
            return leaf, self.chain[self.depth :]
        return self.base, self.chain

    def renewed(self, version: int) -> View:
        return replace(self, version=version)


class Tensor(Methods):
    """A multi-dimensional array of one dtype, with PyTorch's API and semantics.

    Ops run at once. If `requires_grad`, they are also put on a tape, which `backward` walks.
    """

    # Defaults live on the class, so that making a tensor sets two attributes only.
    _array: np.ndarray
    _version: list[int]
    _requires_grad: bool = False
    _grad_fn: Node | None = None
    _output_number: int = 0
    _grad: Tensor | None = None
    _view: View | None = None
    _hooks: list[Callable[..., Any]] | None = None
    _retains_grad: bool = False
    #: whether this is not a view of another tensor, but looks into itself as it was made
    _reshaped: bool = False
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:  # noqa: PYI034  (also for subclasses)
        from .legacy import legacy_tensor

        return legacy_tensor(cls, dtypes.default_float(), *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @staticmethod
    def _of(array: np.ndarray) -> Tensor:
        """A tensor around `array`, which it shares."""
        tensor = object.__new__(Tensor)
        tensor._array = array
        tensor._version = [0]
        return tensor

    @staticmethod
    def _of_output(array: np.ndarray, node: Node, number: int) -> Tensor:
        """Output `number` of `node`, made again from its array."""
        tensor = Tensor._of(array)
        tensor._requires_grad = True
        tensor._grad_fn = node
        tensor._output_number = number
        return tensor

    # --- what it is -------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        return dtypes.from_numpy(self._array.dtype)

    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def device(self) -> Device:
        return CPU

    @property
    def is_leaf(self) -> bool:
        return self._is_leaf()

    def _is_leaf(self) -> bool:
        self._tracked()
        return self._grad_fn is None

    @property
    def requires_grad(self) -> bool:
        return self._tracked()

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start or stop tracking this leaf; RuntimeError for integers and for non-leaves."""
        if requires_grad and self._array.dtype.kind not in "fc":
            raise locate(RuntimeError(
                "only Tensors of floating point dtype can require gradients"
            ))
        self._tracked()  # its base may have been written to
        if self._grad_fn is not None and not requires_grad:
            raise locate(RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            ))
        if self._grad_fn is None and self._requires_grad != bool(requires_grad):
            self._requires_grad = bool(requires_grad)
            restructured(self)
        return self

    @property
    def grad_fn(self) -> Node | None:
        edge = self._edge() if self._tracked() else None
        return edge[0] if type(edge) is tuple else None

    def _edge(self) -> Any:
        """Where a gradient of this tensor goes; a view of a changed base is looked up anew."""
        view = self._view
        if view is not None and view.version != self._version[0] and view.differentiable:
            self._renew(view)
        if self._grad_fn is not None:
            return (self._grad_fn, self._output_number)
        return self if self._requires_grad else None

    def _tracked(self) -> bool:
        """Whether this tensor requires grad, through its base too if that was written since."""
        view = self._view
        if view is not None and view.version != self._version[0] and view.differentiable:
            self._renew(view)
        return self._requires_grad

    def _renew(self, view: View) -> None:
        """Find this view's place on the tape again after its base was written through another.

        It stays where it was if the base has got other data since.
        """
        self._view = view.renewed(self._version[0])
        base, chain = view.origin()
        if self._array.size and not np.may_share_memory(self._array, base._array):
            return
        if base._requires_grad:
            recorder, MODE.recorder = MODE.recorder, None
            try:
                with grad_mode(True):
                    fresh: Any = base
                    for op, attrs in chain:
                        fresh = apply(op, (fresh,), attrs)
            finally:
                MODE.recorder = recorder
            self._requires_grad = True
            self._grad_fn = fresh._grad_fn
            self._output_number = fresh._output_number
        elif self._grad_fn is not None:
            self._requires_grad, self._grad_fn = False, None

    def _mark_view(self, parent: Tensor, op: Op, attrs: dict[str, Any]) -> None:
        """Note that this tensor looks into `parent`, if their arrays do share memory."""
        owner = parent._array.base
        owner = owner if isinstance(owner, np.ndarray) else parent._array
        base = self._array.base
        if (
            base is not owner
            and base is not parent._array
            and self._array is not parent._array
            # Arrays made by `as_strided` hold on to the memory through an object of another kind.
            and not np.may_share_memory(self._array, parent._array)
        ):
            return
        view = parent._view
        self._version = parent._version
        if view is None:
            self._view = View(parent, ((op, attrs),), self._version[0], MODE.grad)
        else:
            leaf, depth = view.leaf, view.depth
            if parent._requires_grad and parent._grad_fn is None:
                leaf, depth = parent, len(view.chain)
            self._view = View(
                view.owner, (*view.chain, (op, attrs)), self._version[0],
                view.differentiable and MODE.grad, leaf, depth,
            )

    def _alias(self) -> Tensor:
        """Another tensor on the same array, at the same place on the tape."""
        alias = Tensor._of(self._array)
        alias._version = self._version
        alias._requires_grad = self._requires_grad
        alias._grad_fn = self._grad_fn
        alias._output_number = self._output_number
        return alias

    def detach(self) -> Tensor:
        """The same storage, off the tape; in-place changes are noticed by backward."""
        if MODE.recorder is not None:  # what is captured is this tensor, whose storage may change
            MODE.recorder.entry(self)
        result = Tensor._of(self._array)
        result._version = self._version
        if self._view is not None:
            result._view = replace(self._view, differentiable=False)
        if MODE.recorder is not None:
            MODE.recorder.own[id(result)] = result
        return result

    def detach_(self) -> Tensor:
        """Take this tensor off the tape, in place. RuntimeError for a view, as PyTorch raises."""
        if self._view is not None and not self._reshaped:
            raise locate(RuntimeError("Can't detach views in-place. Use detach() instead."))
        if MODE.recorder is not None and id(self) in MODE.recorder.positions:
            MODE.recorder.refuse("an argument was detached in place")  # the next may be a view
        if self._requires_grad:
            restructured(self)
        for tensor in (self,) if self._view is None else (self, self._view.owner):
            tensor._grad_fn = None
            tensor._requires_grad = False
        return self

    @property
    def data(self) -> Tensor:
        """The same storage, off the tape; in-place changes are not noticed by backward."""
        result = self.detach()
        result._version = DataVersion((0,))
        if result._view is not None:
            result._view = result._view.renewed(0)
        if MODE.recorder is not None:
            MODE.recorder.data_versions[id(result._version)] = result._version
        return result

    @data.setter
    def data(self, value: Tensor) -> None:
        if value._array is self._array:  # `x.data -= y` has written there already
            return
        if MODE.recorder is not None:
            MODE.recorder.refuse("assignment to .data")
        self._tracked()  # it stays where it is on the tape, whatever it was a view of
        self._array = value._array
        self._view = value._view
        VERSIONS.structure += 1

    # --- gradients --------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        recorder = MODE.recorder
        if recorder is not None:
            return recorder.read_grad(self)
        if self._grad is None and self._grad_fn is not None and not self._retains_grad:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad attribute won't be populated during autograd.backward(). If you indeed want "
                "the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the "
                "non-leaf Tensor.", stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            self._check_grad(value)
        self._set_grad(value)

    def _set_grad(self, value: Tensor | None) -> None:
        recorder = MODE.recorder
        if recorder is not None:
            recorder.write_grad(self)
        self._grad = value

    def _check_grad(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise locate(TypeError(
                "assigned grad expected to be a Tensor or None but got grad of type "
                f"{type(value).__name__}"
            ))
        if value._array.shape != self._array.shape:
            raise locate(RuntimeError(
                f"attempting to assign a gradient of size '{list(value._array.shape)}' to a tensor "
                f"of size '{list(self._array.shape)}'. Please ensure that the gradient and the "
                "tensor are the same size"
            ))
        if value._array.dtype != self._array.dtype:
            raise locate(RuntimeError(
                f"attempting to assign a gradient with dtype '{scalar_type(value.dtype)}' to a "
                f"tensor with grad_dtype '{type_name(self.dtype)}'. The gradient must match the "
                "tensor's grad_dtype (defaults to the tensor's dtype)."
            ))

    def _accumulate_array(self, grad: Any, shared: bool) -> None:
        """Add an array to `.grad`; it becomes `.grad` itself unless someone else can see it."""
        before = self._grad
        if before is None:
            own = grad.__class__ is np.ndarray and grad.base is None and not shared
            if not own or not grad.flags.c_contiguous:
                grad = np.array(grad, dtype=self._array.dtype, order="C")
            self._grad = Tensor._of(grad)
        elif before._array.shape == grad.shape and before._array.dtype == grad.dtype:
            about_to_write(before)
            np.add(before._array, grad, out=before._array)
            before._version[0] += 1
        else:  # a tensor whose data was replaced by other ones
            assign(before, TENSORS.add(before, Tensor._of(grad)))

    def _accumulate_tensor(self, grad: Tensor, create_graph: bool) -> None:
        """The same for a recorded backward, or one that is differentiated again."""
        before = self.grad
        if before is None:
            value = TENSORS.clone(grad)
            self._set_grad(value if create_graph else value.detach())
        elif create_graph:
            self._set_grad(TENSORS.add(before, grad))
        else:
            assign(before, TENSORS.add(before, grad))

    def retain_grad(self) -> None:
        """Fill `.grad` of this non-leaf in backward; RuntimeError unless it requires grad."""
        if not self._requires_grad:
            raise locate(RuntimeError(
                "can't retain_grad on Tensor that has requires_grad=False"
            ))
        if self._grad_fn is not None and not self._retains_grad:
            self._retains_grad = True
            self._watch(self._add_to_grad)

    def _add_to_grad(self, grad: Tensor) -> None:
        if self._grad is None:
            self._set_grad(grad.clone())
        else:
            assign(self._grad, TENSORS.add(self._grad, grad))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call `hook(grad)` when the gradient of this tensor is known; it may return another."""
        from .hooks import RemovableHandle

        if not self._requires_grad:
            raise locate(RuntimeError(
                "cannot register a hook on a tensor that doesn't require gradient"
            ))
        return RemovableHandle(self._watch(hook), hook)

    def _is_watched(self) -> bool:
        """Whether hooks see the gradient of this tensor, no leaf."""
        node = self._grad_fn
        return node is not None and bool(node.watchers and node.watchers.get(self._output_number))

    def _watch(self, hook: Callable[..., Any]) -> list[Callable[..., Any]]:
        if self._grad_fn is None:
            if self._hooks is None:
                self._hooks = []
            hooks = self._hooks
            restructured(self)
        else:
            node, recorder = self._grad_fn, MODE.recorder
            if recorder is not None and node.sequence < recorder.first_node:
                recorder.refuse("a hook is registered on a tensor from outside")
            node.watchers = {} if node.watchers is None else node.watchers
            hooks = node.watchers.setdefault(self._output_number, [])
        retains = bool(hooks) and hooks[-1] == self._add_to_grad
        hooks.insert(len(hooks) - retains, hook)  # what is retained is what the hooks leave
        return hooks

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Accumulate the gradients of this tensor into the `.grad` of the leaves.

        Args:
            gradient: gradient of some scalar with respect to this tensor, of its shape; may be
                left out for one element.
            retain_graph: keep what the tape saved, for another backward.
            create_graph: put the backward on the tape too.
            inputs: leaves to accumulate into, instead of all.

        Raises:
            RuntimeError: no gradient is given for several elements, or nothing requires grad.
        """
        plain = gradient is None and inputs is None and not create_graph
        if plain and MODE.recorder is None and self._array.size == 1 and self._tracked():
            propagate(self, bool(retain_graph))
            return
        from .autograd import backward

        backward((self,), (gradient,), retain_graph, create_graph, inputs)


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


__all__ = ["Tensor", "View", "is_tensor", "run_backward"]
