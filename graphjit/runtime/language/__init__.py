"""A small subset of Python, compiled through LLVM in milliseconds: what our own kernels are in.

Variables hold numbers, vectors of them, or tuples of either; integers are int64 unless told
otherwise, and `if`, `while` and `for` are loops of the machine. Whatever else a function names -
constants, modules, types, helpers, tuples - is known while compiling: an `if` on it picks a branch,
a `for` over it is unrolled, a call is compiled into the caller.
"""

from .emit import inline
from .types import f32, f64, i1, i8, i16, i32, i64, vector

__all__ = ["f32", "f64", "i1", "i8", "i16", "i32", "i64", "inline", "vector"]
