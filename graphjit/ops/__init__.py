"""The vocabulary: every op, declared once, with all that anyone needs to know of it."""

from . import (  # noqa: F401
    activations,
    classification,
    contract,
    convolution,
    creation,
    elementary,
    fused,
    joining,
    linear,
    losses,
    normalization,
    pointwise,
    pooling,
    reduce,
    shape,
)
from .core import OPS as OPS
from .core import Op as Op
