"""Philox 4x32-10 in a kernel: the words that `ops.philox` documents, one at a time."""

from __future__ import annotations

from ...ops import philox as definition
from .emit import Scalar


def philox(seed: Scalar, offset: Scalar, position: Scalar) -> Scalar:
    """Word `position` of the draw at `offset` under the key `seed`: int64, 0 to 2**32 - 1.

    That is word `position % 4` of block `offset + position // 4`.
    """
    mask = definition.MASK32
    counter = offset + (position >> 2)
    c0, c1 = counter & mask, counter.logical_shift(32)
    c2 = c3 = counter.const(0)
    key0, key1 = seed & mask, seed.logical_shift(32)
    for _ in range(definition.ROUNDS):
        product0, product1 = c0 * definition.MULTIPLIERS[0], c2 * definition.MULTIPLIERS[1]
        c0, c1 = product1.logical_shift(32) ^ c1 ^ key0, product1 & mask
        c2, c3 = product0.logical_shift(32) ^ c3 ^ key1, product0 & mask
        key0, key1 = (key0 + definition.WEYL[0]) & mask, (key1 + definition.WEYL[1]) & mask
    low = (position & 1).differs(0).where(c1, c0)
    high = (position & 1).differs(0).where(c3, c2)
    return (position & 2).differs(0).where(high, low)
