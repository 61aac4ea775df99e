"""A catalogue of traps of tracing compilers, most dangerous first: one short test for each.

Every test makes its world twice, runs a function in one eagerly and in the other traced, and
compares all that Python can see after each call. Each docstring states what a user may rely on;
`docs/guarantees.py` gathers them into `docs/guarantees.md`.
"""

#: test modules by rank: silently wrong results first, then lost safety, then lost speed
RANKED = (
    "variables",
    "objects",
    "plain_objects",
    "tensor_attributes",
    "modules",
    "aliasing",
    "hyperparameters",
    "randomness",
    "differentiation",
    "values",
    "transactions",
    "shapes",
    "concurrency",
    "lifetime",
)
