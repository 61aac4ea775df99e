"""`backward`, `grad`, gradient modes, and custom `Function`s."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import locate
from .mode import MODE, grad_mode
from .tape import FREED, Node, run_backward
from .tensor import Tensor


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate the gradients of `tensors` into the `.grad` of the leaves they depend on.

    RuntimeError if a tensor of several elements comes without a gradient, or needs none.
    """
    roots = _sequence(tensors)
    grads = [_root_grad(t, g) for t, g in zip(roots, _grads(roots, grad_tensors), strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(roots, grads, retain, create_graph, None)
        return
    wanted = _sequence(inputs)
    for leaf, found in zip(wanted, run_backward(roots, grads, retain, create_graph, wanted)):
        if found is None:
            continue
        if isinstance(found, Tensor):
            leaf._accumulate_tensor(found, create_graph)
        else:
            leaf._accumulate_array(found, True)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, each of its input's shape.

    RuntimeError if an input is unused (unless `allow_unused`, or `materialize_grads`, which makes
    zeros of its gradient) or does not require grad. `only_inputs` changes nothing, as in PyTorch.
    """
    _check_flags(only_inputs, allow_unused, is_grads_batched, materialize_grads)
    roots, wanted = _sequence(outputs), _sequence(inputs)
    if not wanted:
        raise locate(RuntimeError("`inputs` argument to `grad()` cannot be empty."))
    grads = [_root_grad(t, g) for t, g in zip(roots, _grads(roots, grad_outputs), strict=True)]
    for tensor in wanted:
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise locate(RuntimeError(
                f"all inputs have to be Tensors or GradientEdges, but got {kind}"
            ))
        if not tensor._requires_grad:
            raise locate(RuntimeError("One of the differentiated Tensors does not require grad"))
    retain = create_graph if retain_graph is None else retain_graph
    found = run_backward(roots, grads, retain, create_graph, wanted)
    unused = [i for i, g in enumerate(found) if g is None]
    if unused and not allow_unused and not materialize_grads:
        which = "One of the differentiated Tensors" if len(found) == 1 else \
            f"The differentiated Tensor at index {unused[0]}"
        raise locate(RuntimeError(
            f"{which} appears to not have been used in the graph. Set allow_unused=True if this is "
            "the desired behavior."
        ))
    own = (g if g is None or create_graph else _as_own(g) for g in found)
    if not materialize_grads:
        return tuple(own)
    return tuple(_zeros(t, create_graph) if g is None else g for t, g in zip(wanted, own))


def _check_flags(
    only_inputs: bool, allow_unused: bool | None, is_grads_batched: bool, materialize_grads: bool
) -> None:
    """What PyTorch says of flags of `grad` that contradict each other, or do nothing."""
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if is_grads_batched:
        raise NotImplementedError("grad() with is_grads_batched=True is not supported")
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use "
            "graphjit.autograd.backward.",
            FutureWarning,
            stacklevel=3,
        )


def _zeros(tensor: Tensor, requires_grad: bool) -> Tensor:
    """The gradient of what `tensor` does not enter into."""
    from .tape import TENSORS

    made: Tensor = TENSORS.full(shape=tensor._array.shape, value=0, dtype=tensor.dtype)
    return made.requires_grad_(requires_grad)


def _as_own(grad: Any) -> Tensor:
    """A gradient in memory of its own, as a tensor off the tape."""
    if isinstance(grad, Tensor):  # a recorder is on
        from .tape import TENSORS

        copy: Tensor = TENSORS.clone(grad.detach())
        return copy
    return Tensor._of(np.array(grad, order="C"))


def _sequence(tensors: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def _grads(roots: Sequence[Tensor], grads: Any) -> Sequence[Any]:
    if grads is None:
        return [None] * len(roots)
    return (grads,) if isinstance(grads, Tensor) else tuple(grads)


def _root_grad(tensor: Tensor, gradient: Tensor | None) -> Any:
    """The gradient that backward starts from: given, or one for a single element."""
    if not isinstance(tensor, Tensor):
        raise locate(TypeError(f"expected Tensor as output, but got {type(tensor).__name__}"))
    if not tensor._requires_grad:
        raise locate(RuntimeError(
            "element 0 of tensors does not require grad and does not have a grad_fn"
        ))
    if gradient is None:
        if tensor._array.size != 1:
            raise locate(RuntimeError("grad can be implicitly created only for scalar outputs"))
        if MODE.recorder is not None:
            from .tape import TENSORS

            return TENSORS.full(shape=tensor._array.shape, value=1, dtype=tensor.dtype)
        return np.ones(tensor._array.shape, tensor._array.dtype)
    if gradient._array.shape != tensor._array.shape:
        raise locate(RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has "
            f"a shape of {tensor.shape}."
        ))
    return gradient


class no_grad(grad_mode):
    """Context manager, or decorator, under which nothing is put on the tape."""

    def __init__(self, function: Any = None) -> None:
        super().__init__(False)
        self.function = function

    def __new__(cls, function: Any = None) -> Any:
        if callable(function):
            return cls()(function)
        return super().__new__(cls)


class enable_grad(no_grad):
    """Context manager, or decorator, under which ops are put on the tape again."""

    def __init__(self, function: Any = None) -> None:
        grad_mode.__init__(self, True)


class set_grad_enabled(grad_mode):
    """Sets gradient tracking at once, and restores it at the end of a `with` block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self.before.append(MODE.grad)
        MODE.grad = mode

    def __enter__(self) -> None:
        MODE.grad = self.enabled


def is_grad_enabled() -> bool:
    """Whether ops are put on the tape in this thread."""
    return MODE.grad


class inference_mode(grad_mode):
    """`no_grad`, by its other name."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class Context:
    """What `forward` of a custom `Function` leaves for its `backward`."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved: tuple[Tensor | None, ...] = ()
        self.not_differentiable: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, where they are `saved_tensors`."""
        self.saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        return self.saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs get no gradient."""
        self.not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were changed in place; versions tell the tape already."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients come as zeros (they do unless switched off)."""
        self.materialize = value

    materialize = True


class FunctionNode(Node):
    """The tape node of a custom `Function`; its backward is the user's."""

    __slots__ = ("context", "function", "outputs")
    context: Context
    function: type[Function]
    outputs: list[tuple[Any, Any]]

    def gradients(self, F: Any, grads: list[Any], wrap: bool) -> list[Any]:
        context = self.context
        if self.saved is None and context.saved:
            raise locate(RuntimeError(FREED))
        tensors = [self._incoming(g, spec) for g, spec in zip(grads, self.outputs, strict=True)]
        results = self.function.backward(context, *tensors)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        if len(results) < len(self.edges):
            raise RuntimeError(
                f"function {type(self).__name__} returned an incorrect number of gradients "
                f"(expected {len(self.edges)}, got {len(results)})"
            )
        return [r if wrap or r is None else r._array for r in results[: len(self.edges)]]

    def _incoming(self, grad: Any, spec: tuple[Any, Any]) -> Any:
        if grad is None:
            return Tensor._of(np.zeros(*spec)) if self.context.materialize else None
        return grad if isinstance(grad, Tensor) else Tensor._of(np.asarray(grad))


class Function:
    """A differentiable operation of the user's own: static methods `forward` and `backward`.

    `forward(ctx, ...)` computes with tensors and may keep what it needs on `ctx`; where there is a
    `setup_context(ctx, inputs, output)`, `forward(...)` only computes, and that keeps.
    `backward(ctx, ...)` gets one gradient for each output and returns one for each input, None
    where there is none.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError("You must implement the backward function for custom Function.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and, if an input requires grad, put the function on the tape."""
        needs = tuple(isinstance(a, Tensor) and a._tracked() for a in args)
        context = Context(needs)
        with grad_mode(False):
            if cls.setup_context is Function.setup_context:
                results = cls.forward(context, *args)
            else:
                results = cls.forward(*args)
                cls.setup_context(context, args, results)
        if not (MODE.grad and any(needs)):
            return results
        outputs = _sequence(results)
        edges = tuple(_edge(a) for a in args)
        node = _function_node(cls)(edges, (), (), (), {}, None, len(outputs))
        node.context = context
        node.function = cls
        node.outputs = [(out._array.shape, out._array.dtype) for out in outputs]
        fresh = tuple(_output(out, args, node, k, context) for k, out in enumerate(outputs))
        return fresh[0] if isinstance(results, Tensor) else fresh


def _edge(x: Any) -> Any:
    return x._edge() if isinstance(x, Tensor) and x._tracked() else None


def _output(out: Tensor, args: Sequence[Any], node: FunctionNode, number: int, ctx: Context) -> Any:
    if any(out is t for t in ctx.not_differentiable) or out._array.dtype.kind not in "fc":
        return out
    if any(out is a for a in args):
        out = out.detach()
    out._requires_grad = True
    out._grad_fn = node
    out._output_number = number
    return out


_FUNCTION_NODES: dict[type, type[FunctionNode]] = {}


def _function_node(cls: type) -> type[FunctionNode]:
    if cls not in _FUNCTION_NODES:
        _FUNCTION_NODES[cls] = type(f"{cls.__name__}Backward", (FunctionNode,), {"__slots__": ()})
    return _FUNCTION_NODES[cls]


class _VariableMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        result = data.detach()
        result._requires_grad = requires_grad
        return result


class Variable(metaclass=_VariableMeta):
    """A tensor sharing `data`'s storage: what is left of PyTorch's old wrapper.

    Every tensor is an instance of it.
    """
