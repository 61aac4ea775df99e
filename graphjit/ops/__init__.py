"""The vocabulary: every op, declared once, with all that anyone needs to know of it."""

from . import (  # noqa: F401
    activations,
    advanced,
    barrier,
    classification,
    contract,
    convolution,
    creation,
    decompositions,
    elementary,
    fused,
    indexing,
    joining,
    linear,
    losses,
    moments,
    normalization,
    pointwise,
    pooling,
    random,
    recurrent,
    reduce,
    shape,
    sorting,
    special,
)
from .core import OPS as OPS
from .core import Op as Op
