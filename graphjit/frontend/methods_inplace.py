"""In-place methods: each computes as its name without the underscore, and stores in the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import locate
from . import functions_linear as linear
from . import functions_pointwise as pointwise
from . import functions_shape as shapes
from .arguments import as_shape
from .base import is_tensor
from .data import as_number
from .dispatch import assign, check_not_leaf
from .mode import MODE
from .out import in_place, overwrite
from .quiet import QUIET, restore, silence
from .state import restructured
from .tape import TENSORS as F
from .waiting import about_to_write


def _methods(family: Any, names: str) -> list[Any]:
    return [in_place(getattr(family, name)) for name in names.split()]


def _arithmetic(function: Any, ufunc: np.ufunc) -> Any:
    """In-place arithmetic: of floating-point arrays, off the tape, in one call of NumPy's."""
    general = in_place(function)

    def method(self: Any, other: Any, **options: Any) -> Any:
        array = self._array
        if (
            MODE.recorder is not None
            or array.dtype.kind != "f"
            or (MODE.grad and (self._tracked() or (is_tensor(other) and other._tracked())))
            or 0 in array.strides
        ):
            return general(self, other, **options)
        alpha = options.get("alpha", 1)
        value = getattr(other, "_array", other)
        if value.__class__ is np.ndarray:
            if value.dtype is not array.dtype or value.shape != array.shape:
                return general(self, other, **options)
        elif value.__class__ not in (float, int):
            return general(self, other, **options)
        if len(options) > ("alpha" in options):
            return general(self, other, **options)
        about_to_write(self)
        token = silence(QUIET)
        try:
            ufunc(array, value if alpha == 1 else value * alpha, array)
        finally:
            restore(token)
        self._version[0] += 1
        return self

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"`{function.__name__}`, in place."
    return method


class PointwiseInplace:
    """Arithmetic, comparison, logic and elementary functions in place."""

    add_ = _arithmetic(pointwise.add, np.add)
    sub_ = _arithmetic(pointwise.sub, np.subtract)
    mul_ = _arithmetic(pointwise.mul, np.multiply)
    div_ = _arithmetic(pointwise.div, np.true_divide)
    subtract_, multiply_, divide_, true_divide_ = sub_, mul_, div_, div_
    floor_divide_, remainder_, fmod_, pow_ = _methods(
        pointwise, "floor_divide remainder fmod pow"
    )
    atan2_ = arctan2_ = in_place(pointwise.atan2)
    lt_, le_, gt_, ge_, eq_, ne_ = _methods(pointwise, "lt le gt ge eq ne")
    less_, less_equal_, greater_, greater_equal_, not_equal_ = lt_, le_, gt_, ge_, ne_
    logical_and_, logical_or_, logical_xor_, logical_not_ = _methods(
        pointwise, "logical_and logical_or logical_xor logical_not"
    )
    bitwise_and_, bitwise_or_, bitwise_xor_, bitwise_not_ = _methods(
        pointwise, "bitwise_and bitwise_or bitwise_xor bitwise_not"
    )
    bitwise_left_shift_, bitwise_right_shift_ = _methods(
        pointwise, "bitwise_left_shift bitwise_right_shift"
    )
    neg_, abs_, sign_, square_ = _methods(pointwise, "neg abs sign square")
    negative_, absolute_ = neg_, abs_
    sqrt_, rsqrt_, reciprocal_ = _methods(pointwise, "sqrt rsqrt reciprocal")
    exp_, exp2_, expm1_ = _methods(pointwise, "exp exp2 expm1")
    log_, log2_, log10_, log1p_ = _methods(pointwise, "log log2 log10 log1p")
    sin_, cos_, tan_, asin_, acos_, atan_ = _methods(pointwise, "sin cos tan asin acos atan")
    arcsin_, arccos_, arctan_ = asin_, acos_, atan_
    sinh_, cosh_, tanh_ = _methods(pointwise, "sinh cosh tanh")
    asinh_, acosh_, atanh_ = _methods(pointwise, "asinh acosh atanh")
    arcsinh_, arccosh_, arctanh_ = asinh_, acosh_, atanh_
    sigmoid_, logit_, relu_, erf_, erfc_ = _methods(pointwise, "sigmoid logit relu erf erfc")
    floor_, ceil_, round_, trunc_, frac_ = _methods(pointwise, "floor ceil round trunc frac")
    fix_ = trunc_
    nan_to_num_, clamp_, clamp_min_, clamp_max_ = _methods(
        pointwise, "nan_to_num clamp clamp_min clamp_max"
    )
    clip_ = clamp_
    lerp_, addcmul_, addcdiv_ = _methods(pointwise, "lerp addcmul addcdiv")
    hypot_, heaviside_, copysign_, xlogy_ = _methods(
        pointwise, "hypot heaviside copysign xlogy"
    )
    rad2deg_, deg2rad_ = _methods(pointwise, "rad2deg deg2rad")
    addmm_, addmv_, addr_, baddbmm_, addbmm_ = _methods(linear, "addmm addmv addr baddbmm addbmm")
    tril_, triu_ = _methods(shapes, "tril triu")

    def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
        """Overwrite with `src`, broadcast and converted."""
        if is_tensor(src) or isinstance(src, (int, float, complex)):
            return overwrite(self, src)
        raise locate(TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}"
        ))

    def fill_(self: Any, value: Any) -> Any:
        """Overwrite with one value."""
        if is_tensor(value) and value._array.ndim:
            raise locate(RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value._array.ndim} dimensions."
            ))
        if is_tensor(value):
            return overwrite(self, value)
        from .creation import filled

        return overwrite(self, filled((), as_number(value, self.dtype), self.dtype))

    def zero_(self: Any) -> Any:
        """Overwrite with zeros."""
        return self.fill_(0)

    def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
        """Overwrite the main diagonal."""
        array = self._array
        if array.ndim < 2:
            raise locate(RuntimeError("dimensions must larger than 1"))
        if array.ndim > 2 and len(set(array.shape)) > 1:
            raise locate(RuntimeError("all dimensions of input must be of equal length"))
        mask = np.zeros(array.shape, bool)
        np.fill_diagonal(mask, True, wrap=wrap)
        return assign(self, F.where(self._of(mask), fill_value, self))


class ShapeInplace:
    """Methods that give this very tensor another shape."""

    def _become(self: Any, function: Any, *args: Any) -> Any:
        """Take the place of the view `function(self, *args)`."""
        check_not_leaf(self)
        before = self._alias()
        before._view = self._view
        recorder = MODE.recorder
        if recorder is not None and recorder.made(self):
            recorder.own[id(before)] = before
        elif recorder is not None:
            recorder.refuse("the shape of a tensor from outside was changed in place")
        view = function(before, *args)
        self._reshaped |= self._view is None and view._view is not None
        for name in ("_array", "_version", "_requires_grad", "_grad_fn", "_output_number", "_view"):
            setattr(self, name, getattr(view, name))
        self._version[0] += 1
        if self._view is not None:
            self._view = self._view.renewed(self._version[0])
        restructured(self)
        return self

    def t_(self: Any) -> Any:
        """`t`, in place."""
        return self._become(shapes.t)

    def transpose_(self: Any, dim0: int, dim1: int) -> Any:
        """`transpose`, in place."""
        return self._become(shapes.transpose, dim0, dim1)

    swapaxes_ = swapdims_ = transpose_

    def squeeze_(self: Any, dim: Any = None) -> Any:
        """`squeeze`, in place."""
        return self._become(shapes.squeeze, dim)

    def unsqueeze_(self: Any, dim: int) -> Any:
        """`unsqueeze`, in place."""
        return self._become(shapes.unsqueeze, dim)

    def resize_(self: Any, *sizes: Any, memory_format: Any = None) -> Any:
        """Another size, keeping the elements in row-major order; new ones are uninitialised."""
        if self._requires_grad:
            raise locate(RuntimeError("cannot resize variables that require grad"))
        if MODE.recorder is not None:
            MODE.recorder.refuse("resize_() changes storage")
        shape = as_shape("resize_", sizes)
        count, flat = int(np.prod(shape)), self._array.reshape(-1)
        if count > flat.size:
            flat = np.concatenate([flat, np.empty(count - flat.size, flat.dtype)])
        self._array = flat[:count].reshape(shape)
        restructured(self)
        return self

    def resize_as_(self: Any, the_template: Any, memory_format: Any = None) -> Any:
        """`resize_` to the shape of another tensor."""
        return self.resize_(the_template._array.shape)

    def set_(self: Any, source: Any) -> Any:
        """Share the storage of `source`."""
        if MODE.recorder is not None:
            MODE.recorder.refuse("set_() changes storage")
        self._array, self._version, self._view = source._array, source._version, source._view
        restructured(self)
        return self


class InplaceMethods(PointwiseInplace, ShapeInplace):
    """Every method that changes its tensor."""
