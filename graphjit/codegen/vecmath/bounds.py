"""How wrong each function may be, in units in the last place of the exact result.

(float32, float64), over all arguments, special values included. The tests compare with these; they
are measured maxima rounded up. A result that is no normal number may be flushed to zero.
"""

from __future__ import annotations

ULP: dict[str, tuple[float, float]] = {
    "sqrt": (0.5, 0.5),
    "reciprocal": (0.5, 0.5),
    "rsqrt": (1.5, 1.5),
    "exp": (1.1, 1.1),
    "exp2": (1.1, 1.1),
    "expm1": (1.7, 2.0),
    "sigmoid": (2.5, 2.5),
    "tanh": (1.7, 1.7),
    "sinh": (1.8, 1.8),
    "cosh": (1.6, 1.6),
    "log": (1.0, 1.0),
    "log2": (1.1, 1.1),
    "log10": (1.1, 1.1),
    "log1p": (1.6, 1.6),
    "asinh": (2.0, 2.2),
    "acosh": (2.2, 2.4),
    "atanh": (2.3, 2.3),
    "erf": (1.4, 1.4),
}
