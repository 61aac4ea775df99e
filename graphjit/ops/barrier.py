"""`barrier`: a value that is not to be used before another one is known.

What is computed from it is computed anew, at that time, though it may equal what has been computed
from its operand: so the backward of a checkpointed function holds its recomputation.
"""

from .core import declare
from .sampling import calls, floats, ints, rows

barrier = declare(
    "barrier",
    "opaque",
    moves_nothing=True,
    infer=lambda spec, after: (spec,),
    eval=lambda xp, x, after: x.copy(),
    vjps=(lambda F, g: g, None),
    samples=rows(
        lambda x, after: x,
        *calls(((3, 4), (2,)), ((), (5,)), ((0, 3), ())),
        ((ints(4), floats(2)), {}),
    ),
)
