"""Element types: their names, NumPy counterparts, and PyTorch's promotion rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import config


@dataclass(frozen=True, eq=False)
class DType:
    """An element type. Instances are singletons: compare with `is` or `==`.

    `category` orders promotion: 0 bool, 1 integer, 2 floating, 3 complex.
    """

    name: str
    category: int
    numpy: np.dtype = field(repr=False)

    def __repr__(self) -> str:
        return f"{config.NAMESPACE}.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return by_name, (self.name,)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        return self.category == 3

    @property
    def is_signed(self) -> bool:
        return self.numpy.kind in "ifc"

    @property
    def short(self) -> str:
        """The name in printed graphs: f32, i64, b1."""
        return f"{self.numpy.kind}{8 * self.itemsize}" if self.category else "b1"


def _dtype(name: str, category: int) -> DType:
    return DType(name, category, np.dtype(name))


bool_ = _dtype("bool", 0)
uint8 = _dtype("uint8", 1)
int8 = _dtype("int8", 1)
int16 = _dtype("int16", 1)
int32 = _dtype("int32", 1)
int64 = _dtype("int64", 1)
float16 = _dtype("float16", 2)
float32 = _dtype("float32", 2)
float64 = _dtype("float64", 2)
complex64 = _dtype("complex64", 3)
complex128 = _dtype("complex128", 3)

ALL = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64, complex64, complex128)
ALIASES = {
    "float": float32,
    "double": float64,
    "half": float16,
    "int": int32,
    "long": int64,
    "short": int16,
    "cfloat": complex64,
    "cdouble": complex128,
}

_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_SHORT = {dtype.short: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}


def by_name(name: str) -> DType:
    """The dtype called `name` (full or short form)."""
    return _BY_NAME.get(name) or _BY_SHORT[name]


def from_numpy(dtype: np.dtype) -> DType:
    """The dtype of a NumPy dtype; TypeError, in PyTorch's words, where there is none."""
    try:
        return _BY_NUMPY[dtype]
    except KeyError:
        if dtype.newbyteorder("=") in _BY_NUMPY:
            return _BY_NUMPY[dtype.newbyteorder("=")]
        supported = ", ".join(d.name for d in (float64, float32, float16, complex64, complex128,
                                               int64, int32, int16, int8, uint8, bool_))
        raise TypeError(
            f"can't convert np.ndarray of type {dtype.type.__module__}.{dtype.type.__name__}. "
            f"The only supported types are: {supported}."
        ) from None


_default_float = float32


def default_float() -> DType:
    """The dtype of floating-point literals."""
    return _default_float


def set_default_float(dtype: DType) -> None:
    """Make `dtype` the dtype of floating-point literals; TypeError unless it is floating."""
    global _default_float
    if dtype.category != 2:
        raise TypeError(f"only floating-point types are supported as the default type, got {dtype}")
    _default_float = dtype


def default_complex() -> DType:
    """The complex dtype whose parts have the default floating-point dtype."""
    return complex128 if _default_float is float64 else complex64


def of_number(value: object) -> DType:
    """The dtype that a Python number becomes as a tensor of its own."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default_float
    if isinstance(value, (complex, np.complexfloating)):
        return default_complex()
    raise TypeError(f"not a number: {type(value).__name__}")


def promote(a: DType, b: DType) -> DType:
    """The smallest dtype that holds both, by PyTorch's table (int64 and float16 give float16)."""
    if a is b:
        return a
    if a.category != b.category and max(a.category, b.category) == 2:
        return a if a.category == 2 else b
    if {a, b} == {float64, complex64}:
        return complex128
    if a.category == 3 and b.category < 3:
        return a
    if b.category == 3 and a.category < 3:
        return b
    return _BY_NUMPY[np.promote_types(a.numpy, b.numpy)]


def promote_weak(strong: DType, weak: DType) -> DType:
    """Promotion of a dimensioned dtype with a number or a tensor of no dimensions.

    The weaker side counts only where its category is higher.
    """
    return promote(strong, weak) if weak.category > strong.category else strong
