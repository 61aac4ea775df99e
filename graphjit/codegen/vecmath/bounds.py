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
    "sigmoid": (2.4, 2.4),
    "tanh": (1.6, 1.6),
    "sinh": (1.8, 1.8),
    "cosh": (1.6, 1.6),
    "log": (1.0, 1.0),
    "log2": (1.1, 1.1),
    "log10": (1.1, 1.1),
    "log1p": (1.6, 1.6),
    "asinh": (2.0, 2.1),
    "acosh": (2.2, 2.3),
    "atanh": (2.3, 2.3),
    "erf": (1.8, 1.8),
    "sin": (1.6, 1.6),
    "cos": (1.6, 1.6),
    "tan": (2.7, 2.7),
    "asin": (2.2, 2.3),
    "acos": (1.3, 1.3),
    "atan": (1.6, 1.7),
    "atan2": (1.6, 1.7),
    "pow": (0.6, 1.3),
}
