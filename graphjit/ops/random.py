"""Random numbers: pure functions of a seed, an offset and the position (see `philox`).

Seed and offset are inputs of no dimensions (int64), so that a replay can feed new ones. All others
decompose to `random_words`, the generator itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..ir.graph import Shape, Spec
from . import scalar as s
from .blocks import is_large
from .core import Op, arrays_of, as_array, by_parts, declare, device_of, dtype_of, pointwise
from .native import LARGE, drawn, fused
from .philox import (
    exponential_from_bits,
    normal_from_bits,
    philox_bits,
    uniform_from_bits,
    words_needed,
)
from .sampling import Samples, calls, floats, rows


def _words(xp: Any, seed: Any, offset: Any, n: int) -> Any:
    words = philox_bits(int(seed), int(offset), n)
    return words if xp is np else xp.asarray(words)


def _eval_random_words(
    xp: Any, seed: Any, offset: Any, n: int, group: int, step: int, lane: int
) -> Any:
    """Word `(i // group) * step + lane` for each i below `n`."""
    groups = -(-n // group)
    words = _words(xp, seed, offset, groups * step)[lane::step].astype(np.int64)
    return words if group == 1 else xp.repeat(words, group)[:n]


def _scalar_random_words(
    seed: s.Operand, offset: s.Operand, n: int, group: int, step: int, lane: int
) -> s.Expr:
    position: s.Expr = s.index(0)
    if group != 1:
        position = s.call("floordiv", position, group)
    if step != 1:
        position = s.call("mul", position, step)
    if lane:
        position = s.call("add", position, lane)
    return s.call("philox", seed, offset, position)


random_words = declare(
    "random_words",
    "random",
    infer=lambda seed, offset, n, group, step, lane: (Spec((n,), dtypes.int64, seed.device),),
    eval=_eval_random_words,
    scalar=_scalar_random_words,
    samples=rows(
        lambda seed, offset, n, group, step, lane: [
            philox_bits(int(seed), int(offset), i // group * step + lane + 1)[-1] for i in range(n)
        ],
        *(((np.asarray(seed), np.asarray(9)), {"n": 11, "group": group, "step": step, "lane": lane})
          for seed, group, step, lane in ((5, 1, 1, 0), (7, 1, 2, 1), (2**40, 2, 4, 3))),
    ),
)  # fmt: skip


def _draw(F: Any, seed: Any, offset: Any, n: int, step: int, lane: int, group: int = 1) -> Any:
    return F.random_words(seed, offset, n=n, group=group, step=step, lane=lane)


def _uniform_of_words(F: Any, words: list[Any], dtype: DType) -> Any:
    """One uniform of `dtype` from one word, or two for float64."""
    if dtype is dtypes.float64:
        high = F.cast(F.bitwise_right_shift(words[0], 5), dtype=dtype)
        low = F.cast(F.bitwise_right_shift(words[1], 6), dtype=dtype)
        return F.mul(F.add(F.mul(high, 2.0**26), low), 2.0**-53)
    bits = 11 if dtype is dtypes.float16 else 24
    mantissa = F.cast(F.bitwise_right_shift(words[0], 32 - bits), dtype=dtype)
    return F.mul(mantissa, 2.0**-bits)


def _decompose_uniform(F: Any, seed: Any, offset: Any, shape: Shape, dtype: DType) -> Any:
    n, step = math.prod(shape), 2 if dtype is dtypes.float64 else 1
    words = [_draw(F, seed, offset, n, step, lane) for lane in range(step)]
    return F.reshape(_uniform_of_words(F, words, dtype), shape=shape)


def _infer_draw(seed: Spec, offset: Spec, shape: Shape, dtype: DType) -> tuple[Spec, ...]:
    return (Spec(tuple(shape), dtype, seed.device),)


def _distribution(name: str, decompose: Any, of_bits: Any, exact: bool) -> Op:
    """An op that draws numbers: `of_bits` makes them of random words by NumPy.

    Unless they are `exact`, NumPy's float64 may differ from compiled code's in the last bit, so
    that few of them, too, are drawn by a loop.
    """

    def eval(xp: Any, seed: Any, offset: Any, shape: Shape, dtype: DType) -> Any:
        n = math.prod(shape)
        if xp is np:
            least = LARGE if exact or dtype is not dtypes.float64 else 1
            numbers = drawn(decompose, n, (seed, offset), {"dtype": dtype}, least)
            if numbers is not None:
                return numbers.reshape(shape)
        words = _words(np, seed, offset, words_needed(n, dtype))
        return xp.asarray(of_bits(words, dtype)[:n].reshape(shape))

    return declare(
        name, "composite", infer=_infer_draw, eval=eval, decompose=decompose,
        samples=_draws(of_bits),
    )  # fmt: skip


def _draws(of_bits: Any) -> Samples:
    def reference(seed: Any, offset: Any, shape: Shape, dtype: DType) -> Any:
        n = math.prod(shape)
        words = philox_bits(int(seed), int(offset), words_needed(n, dtype))
        return of_bits(words, dtype)[:n].reshape(shape)

    return rows(reference, *(
        ((np.asarray(5), np.asarray(2**33)), {"shape": shape, "dtype": dtype})
        for shape in ((3, 5), (), (0, 2), (4,))
        for dtype in (dtypes.float32, dtypes.float64, dtypes.float16)
    ))  # fmt: skip


#: Uniform on [0, 1).
uniform = _distribution("uniform", _decompose_uniform, uniform_from_bits, exact=True)


def _eval_rescale(xp: Any, draw: Any, scale: Any, shift: Any) -> Any:
    narrow = draw.dtype.char == "e"  # of which compiled code rounds the result alone
    if narrow:
        draw, scale, shift = (xp.asarray(x, "f4") for x in (draw, scale, shift))
    result = as_array(xp, xp.add(xp.multiply(draw, scale), shift))
    return result.astype("f2") if narrow else result


#: `draw * scale + shift`, rounded twice in compiled code as well: random numbers are the same, bit
#: by bit, wherever they are drawn.
rescale = pointwise(
    "rescale",
    _eval_rescale,
    lambda draw, scale, shift: s.call("add", s.call("product", draw, scale), shift),
    promotion="float",
    saves=("in0", "in1"),
    vjps=(
        lambda F, g, draw, scale: F.mul(g, scale),
        lambda F, g, draw, scale: F.mul(g, draw),
        lambda F, g, draw, scale: g,
    ),
    samples=rows(
        lambda draw, scale, shift: draw * scale + shift,
        *calls(((3, 5), (3, 5), (5,)), ((4,), (), ())),
        *(((floats(2, 3), 2.5, -1.5), {}), ((floats(2, 3), floats(3), 0.5), {})),
    ),
)


def _decompose_normal(F: Any, seed: Any, offset: Any, shape: Shape, dtype: DType) -> Any:
    """Box and Muller in float64: elements 2j and 2j + 1 share the uniforms at 2j and 2j + 1."""
    n, wide = math.prod(shape), dtype is dtypes.float64
    source, each = (dtypes.float64, 2) if wide else (dtypes.float32, 1)
    lanes = [_draw(F, seed, offset, n, 2 * each, lane, group=2) for lane in range(2 * each)]
    u, v = (
        F.cast(_uniform_of_words(F, lanes[i * each :], source), dtype=dtypes.float64)
        for i in range(2)
    )
    radius = F.sqrt(F.mul(F.log(F.sub(1, u)), -2))
    angle = F.mul(v, 2 * math.pi)
    place = F.iota(shape=(n,), dim=0, dtype=dtypes.int64, device=device_of(u))
    odd = F.ne(F.bitwise_and(place, 1), 0)
    normal = F.mul(radius, F.where(odd, F.sin(angle), F.cos(angle)))
    return F.reshape(F.cast(normal, dtype=dtype), shape=shape)


#: Normal with mean 0 and variance 1.
normal = _distribution("normal", _decompose_normal, normal_from_bits, exact=False)


def _decompose_exponential(F: Any, seed: Any, offset: Any, shape: Shape, dtype: DType) -> Any:
    """By the inverse of the distribution function, in float64."""
    source = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    uniform = F.cast(F.uniform(seed, offset, shape=shape, dtype=source), dtype=dtypes.float64)
    return F.cast(F.neg(F.log1p(F.neg(uniform))), dtype=dtype)


#: Exponential with mean 1.
exponential = _distribution(
    "exponential", _decompose_exponential, exponential_from_bits, exact=False
)


def _decompose_random_bits(F: Any, seed: Any, offset: Any, shape: Shape, bits: int) -> Any:
    n = math.prod(shape)
    if bits <= 32:
        words = F.bitwise_right_shift(_draw(F, seed, offset, n, 1, 0), 32 - bits)
    else:
        high = F.bitwise_left_shift(_draw(F, seed, offset, n, 2, 0), bits - 32)
        low = F.bitwise_right_shift(_draw(F, seed, offset, n, 2, 1), 64 - bits)
        words = F.bitwise_or(high, low)
    return F.reshape(words, shape=shape)


def _bits_reference(seed: int, offset: int, shape: Shape, bits: int) -> Any:
    """The upper bits of one word, or of two, the first of which is the upper."""
    n, each = math.prod(shape), 1 if bits <= 32 else 2
    words = philox_bits(seed, offset, n * each).astype(object).reshape(n, each)
    joined = words[:, 0] if each == 1 else words[:, 0] * 2**32 + words[:, 1]
    return (joined >> (32 * each - bits)).astype(np.int64).reshape(shape)


#: Uniform integers of `bits` bits, at most 63, as int64. Above 32 bits each takes two words.
random_bits = declare(
    "random_bits",
    "composite",
    infer=lambda seed, offset, shape, bits: (Spec(tuple(shape), dtypes.int64, seed.device),),
    eval=by_parts(_decompose_random_bits),
    decompose=_decompose_random_bits,
    samples=rows(
        lambda seed, offset, shape, bits: _bits_reference(int(seed), int(offset), shape, bits),
        *(((np.asarray(3), np.asarray(4)), {"shape": (2, 5), "bits": n}) for n in (8, 32, 48, 63)),
    ),
)


def _decompose_randint(F: Any, seed: Any, offset: Any, shape: Shape, low: int, high: int) -> Any:
    """The remainder of 63 bits: the bias is below range / 2**63."""
    bits = F.random_bits(seed, offset, shape=shape, bits=63)
    return F.add(F.remainder(bits, high - low), low)


def _randint_of(F: Any, seed: Any, offset: Any, low: Any, count: Any, shape: Shape) -> Any:
    """The same with bounds that are tensors."""
    return F.add(F.remainder(F.random_bits(seed, offset, shape=shape, bits=63), count), low)


def _eval_randint(xp: Any, seed: Any, offset: Any, shape: Shape, low: int, high: int) -> Any:
    if xp is np and high - low < 2**63:
        numbers = drawn(_randint_of, math.prod(shape), (seed, offset, low, high - low), {})
        if numbers is not None:
            return numbers.reshape(shape)
    return _decompose_randint(arrays_of(xp), seed, offset, shape, low, high)


#: Uniform on the integers [low, high), as int64; two words for each.
randint = declare(
    "randint",
    "composite",
    infer=lambda seed, offset, shape, low, high: (
        Spec(tuple(shape), dtypes.int64, seed.device),
    ),
    eval=_eval_randint,
    decompose=_decompose_randint,
    samples=rows(
        lambda seed, offset, shape, low, high: low
        + _bits_reference(int(seed), int(offset), shape, 63) % (high - low),
        *(((np.asarray(3), np.asarray(4)), {"shape": (2, 5), "low": low, "high": high})
          for low, high in ((0, 10), (-5, 6), (0, 2**50))),
    ),
)  # fmt: skip


def _threshold(p: float) -> int:
    """Words below this keep their element."""
    return round((1 - p) * 2.0**32)


def _eval_dropout(xp: Any, x: Any, seed: Any, offset: Any, p: float) -> tuple[Any, Any]:
    if not 0 <= p <= 1:
        raise ValueError("dropout")
    if is_large(x):
        state = [np.asarray(number, np.int64) for number in (seed, offset)]
        results = fused(_decompose_dropout, (x.reshape(-1), *state), {"p": p})
        if results is not None:
            return results[0].reshape(x.shape), results[1].reshape(x.shape)
    words = _words(xp, seed, offset, x.size)
    kept = (words.astype(np.int64) < _threshold(p)).reshape(x.shape)
    return xp.asarray(x * (kept * _gain(x, p))), kept


def _gain(x: Any, p: float) -> Any:
    return x.dtype.type(1 / (1 - p) if p < 1 else 0)


def _infer_dropout(x: Spec, seed: Spec, offset: Spec, p: float) -> tuple[Spec, ...]:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return x, x.with_dtype(dtypes.bool_)


def _decompose_dropout(F: Any, x: Any, seed: Any, offset: Any, p: float) -> tuple[Any, Any]:
    words = _draw(F, seed, offset, math.prod(x.shape), 1, 0)
    kept = F.reshape(F.lt(words, _threshold(p)), shape=x.shape)
    return _apply_mask(F, x, kept, p), kept


def _apply_mask(F: Any, x: Any, kept: Any, p: float) -> Any:
    gain = 1 / (1 - p) if p < 1 else 0.0
    return F.mul(x, F.mul(F.cast(kept, dtype=dtype_of(x)), gain))


def _dropout_reference(x: Any, seed: Any, offset: Any, p: float) -> Any:
    words = philox_bits(int(seed), int(offset), x.size).astype(np.float64).reshape(x.shape)
    kept = words / 2**32 < round((1 - p) * 2**32) / 2**32
    return np.where(kept, x / (1 - p) if p < 1 else 0, 0), kept


#: Inputs (x, seed, offset), one word for each element; outputs (y, what was kept).
dropout = declare(
    "dropout",
    "composite",
    infer=_infer_dropout,
    eval=_eval_dropout,
    decompose=_decompose_dropout,
    saves=("out1",),
    vjps=(
        lambda F, g, kept, p: None if g[0] is None else _apply_mask(F, g[0], kept, p),
        None,
        None,
    ),
    n_outputs=2,
    grad_name="NativeDropout",
    samples=rows(
        _dropout_reference,
        *(((x, np.asarray(3), np.asarray(4)), {"p": p})
          for x in ((3, 5), (), (0, 2)) for p in (0.0, 0.3, 1.0)),
    ),
)  # fmt: skip
