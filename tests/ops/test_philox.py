"""Philox 4x32-10: published vectors, layout of a draw, and the distributions made from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from graphjit import dtypes
from graphjit.ops import philox

# Random123, kat_vectors, "philox4x32 10": counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "seed", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, ...], seed: int, expected: tuple[int, ...]) -> None:
    """The published test vectors of Random123."""
    words = [np.array([word], np.uint64) for word in counter]
    got = [int(word[0]) & philox.MASK32 for word in philox.encrypt((*words,), seed)]  # type: ignore[arg-type]
    assert got == list(expected)


def test_draw_is_a_function_of_position() -> None:
    """Neither the length of a draw nor the chunk it falls in changes a word."""
    whole = philox.philox_bits(7, 3, 40_001)
    assert whole.size == 40_001 and whole.dtype == np.uint32
    np.testing.assert_array_equal(philox.philox_bits(7, 3, 17), whole[:17])
    np.testing.assert_array_equal(philox.philox_bits(7, 3 + 5000, 10), whole[20_000:20_010])
    assert philox.philox_bits(7, 3, 0).size == 0


def test_seed_and_offset_wrap() -> None:
    """Seed and offset are 64-bit: negative numbers stand for their two's complement."""
    np.testing.assert_array_equal(
        philox.philox_bits(-1, -2, 12), philox.philox_bits(2**64 - 1, 2**64 - 2, 12)
    )
    np.testing.assert_array_equal(philox.philox_bits(5, -1, 8)[4:], philox.philox_bits(5, 0, 4))


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.float32, dtypes.float64])
def test_uniform(dtype: dtypes.DType) -> None:
    """All bits set gives the largest number below one; the distribution is uniform."""
    ones = np.full(2, 2**32 - 1, np.uint32)
    assert philox.uniform_from_bits(ones, dtype).max() < 1
    n = 100_000
    draw = philox.uniform_from_bits(philox.philox_bits(1, 0, philox.words_needed(n, dtype)), dtype)
    assert draw.dtype == dtype.numpy and draw.size == n and draw.min() >= 0
    if dtype is not dtypes.float16:
        assert stats.kstest(draw, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64])
def test_normal(dtype: dtypes.DType) -> None:
    """Standard normal, finite for the extreme words, pairs uncorrelated."""
    extreme = np.array([2**32 - 1, 0, 0, 2**32 - 1] * 2, np.uint32)
    assert np.isfinite(philox.normal_from_bits(extreme, dtype)).all()
    n = 100_000
    draw = philox.normal_from_bits(philox.philox_bits(2, 0, philox.words_needed(n, dtype)), dtype)
    assert draw.dtype == dtype.numpy and draw.size == n
    assert stats.kstest(draw, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(draw[0::2], draw[1::2])[0, 1]) < 0.02


def test_offset_moves_past_the_draw() -> None:
    """Two draws in a row share no block."""
    assert philox.blocks_needed(5, dtypes.float32) == 2
    assert philox.blocks_needed(5, dtypes.float64) == 3
    assert philox.blocks_needed(0, dtypes.float32) == 0
