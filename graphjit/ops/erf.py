"""The error function on arrays.

SciPy's takes one element at a time (5 to 15 ns each). For large float32 arrays erf(x) is
tanh(x p(x^2)) with a polynomial p fitted to atanh(erf(x)) / x on [0, 4.1] for least relative error
of the result: 2 ns an element, within 4 ulp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Coefficients of p, the highest power first.
_COEFFICIENTS = tuple(np.float32(c) for c in (
    1.7469433388295599e-10, -8.324927511442742e-09, 1.541370564715437e-07, -1.2745686231013126e-06,
    1.27031226832953e-06, 6.944145811027469e-05, -5.954428031942549e-04, -2.0658354632255445e-04,
    0.1027721520406398, 1.1283791787972333,
))  # fmt: skip
#: From here on erf rounds to 1 in float32.
_EDGE = np.float32(4.1)
#: Elements worked on at once, so that three buffers stay in the second-level cache.
_CHUNK = 32768
#: From this size on the polynomial is faster than SciPy.
_LARGE = 8192


def erf_array(xp: Any, x: Any) -> Any:
    """erf(x), of the dtype of `x`."""
    if xp is not np:
        from cupyx.scipy.special import erf  # type: ignore[import-not-found]

        return erf(x)
    if x.size >= _LARGE and x.dtype.char == "f":
        return _erf_float32(x)
    from scipy.special import erf

    return np.asarray(erf(x), x.dtype)


def _erf_float32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = x.reshape(-1)
    result = np.empty_like(flat)
    square_buffer, value_buffer = np.empty((2, min(_CHUNK, flat.size)), np.float32)
    for start in range(0, flat.size, _CHUNK):
        clipped = result[start : start + _CHUNK]
        square, value = square_buffer[: clipped.size], value_buffer[: clipped.size]
        np.minimum(flat[start : start + _CHUNK], _EDGE, out=clipped)
        np.maximum(clipped, -_EDGE, out=clipped)
        np.multiply(clipped, clipped, square)
        np.multiply(square, _COEFFICIENTS[0], value)
        for coefficient in _COEFFICIENTS[1:-1]:
            np.add(value, coefficient, value)
            np.multiply(value, square, value)
        np.add(value, _COEFFICIENTS[-1], value)
        np.multiply(value, clipped, value)
        np.tanh(value, clipped)
    return result.reshape(x.shape)
