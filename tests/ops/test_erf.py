"""erf of large float32 arrays."""

import numpy as np
from scipy import special

from graphjit.ops.core import ARRAYS


def test_accuracy():
    """Within 4 ulp of the exact value over the whole range, tiny numbers included."""
    x = np.concatenate([np.linspace(-5, 5, 100_001), np.geomspace(1e-37, 1, 10_000)])
    x = x.astype(np.float32)
    exact = special.erf(x.astype(np.float64))
    error = np.abs(ARRAYS.erf(x) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() < 4


def test_special_values():
    """Infinities give 1 and -1 exactly, NaN and zeros themselves."""
    x = np.zeros(10_000, np.float32)
    x[:5] = np.nan, np.inf, -np.inf, -0.0, 1e30
    got = ARRAYS.erf(x)[:6]
    np.testing.assert_array_equal(got, np.array([np.nan, 1, -1, 0, 1, 0], np.float32))
    assert np.signbit(got[3])
