"""Random numbers without state: bits, uniforms and normals from (seed, offset, position).

Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Random123).
Word i of a draw is word `i % 4` of the block whose 128-bit counter is `offset + i // 4` (modulo
2**64, upper half zero) and whose 64-bit key is `seed`, low halves first. Generated kernels compute
the same words one element at a time, so eager and compiled draws agree.

An element takes one word (float16, float32) or two (float64), and normals come in pairs, so a draw
of n elements takes `words_needed` words and the next draw starts `blocks_needed` further on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import dtypes
from ..dtypes import DType

Words = NDArray[np.uint32]
Halves = NDArray[np.uint64]

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK32 = 0xFFFFFFFF

#: Blocks encrypted at once: the temporaries then stay in the second-level cache.
CHUNK = 8192


def words_needed(n: int, dtype: DType) -> int:
    """Random words that a draw of `n` elements takes, uniform or normal."""
    return (n + n % 2) * (2 if dtype is dtypes.float64 else 1)


def blocks_needed(n: int, dtype: DType) -> int:
    """How far a draw of `n` elements moves the offset on."""
    return -(-words_needed(n, dtype) // 4)


def encrypt(counter: tuple[Halves, Halves, Halves, Halves], seed: int) -> tuple[Halves, ...]:
    """The blocks at `counter` (four 32-bit words held in uint64): the low 32 bits of each result.

    The odd words carry the whole product along, since whatever reads them drops the upper half.
    """
    c0, c1, c2, c3 = counter
    key0, key1 = seed & MASK32, seed >> 32 & MASK32
    multiplier0, multiplier1 = map(np.uint64, MULTIPLIERS)
    shift, mask = np.uint64(32), np.uint64(MASK32)
    for _ in range(ROUNDS):
        product0, product1 = c0 * multiplier0, c2 * multiplier1
        c0 = ((product1 >> shift) ^ c1 ^ np.uint64(key0)) & mask
        c2 = ((product0 >> shift) ^ c3 ^ np.uint64(key1)) & mask
        c1, c3 = product1, product0
        key0, key1 = key0 + WEYL[0] & MASK32, key1 + WEYL[1] & MASK32
    return c0, c1, c2, c3


def philox_bits(seed: int, offset: int, n: int) -> Words:
    """The first `n` words of the draw at `offset`. Seed and offset count modulo 2**64."""
    blocks = -(-n // 4)
    words = np.empty((blocks, 4), np.uint32)
    start = np.uint64(offset & 0xFFFFFFFFFFFFFFFF)
    for first in range(0, blocks, CHUNK):
        last = min(first + CHUNK, blocks)
        counter = np.arange(first, last, dtype=np.uint64) + start
        zero = np.zeros_like(counter)
        low, high = counter & np.uint64(MASK32), counter >> np.uint64(32)
        for lane, word in enumerate(encrypt((low, high, zero, zero), seed)):
            words[first:last, lane] = word
    return words.reshape(-1)[:n]


def uniform_from_bits(bits: Words, dtype: DType) -> NDArray[Any]:
    """Numbers in [0, 1), all multiples of 2**-11 (float16), 2**-24 (float32) or 2**-53 (float64).

    The upper bits of each word are used; float64 takes 27 bits of the word at 2i, then 26 of the
    next.
    """
    if dtype is dtypes.float64:
        high, low = bits[0::2] >> np.uint32(5), bits[1::2] >> np.uint32(6)
        return (high * np.float64(2**26) + low) * np.float64(2**-53)
    mantissa = 11 if dtype is dtypes.float16 else 24
    scaled = (bits >> np.uint32(32 - mantissa)) * np.float64(2.0**-mantissa)
    return scaled.astype(dtype.numpy)


def normal_from_bits(bits: Words, dtype: DType) -> NDArray[Any]:
    """Standard normals by Box and Muller: elements 2j and 2j + 1 come from uniforms u and v there.

    They are r cos(2 pi v) and r sin(2 pi v) with r = sqrt(-2 log(1 - u)). The arithmetic is in
    float64 for every dtype, so that another library's log and cos round to the same float32, by way
    of which float16 is rounded.
    """
    source = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    uniform = uniform_from_bits(bits, source).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[0::2]))
    angle = (2.0 * np.pi) * uniform[1::2]
    normal = np.empty(uniform.size, source.numpy)
    normal[0::2] = radius * np.cos(angle)
    normal[1::2] = radius * np.sin(angle)
    return normal.astype(dtype.numpy, copy=False)


def exponential_from_bits(bits: Words, dtype: DType) -> NDArray[Any]:
    """Exponentials of mean 1: -log(1 - u) for uniforms u, rounded as normals are."""
    source = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    uniform = uniform_from_bits(bits, source).astype(np.float64)
    return (-np.log1p(-uniform)).astype(source.numpy).astype(dtype.numpy, copy=False)
