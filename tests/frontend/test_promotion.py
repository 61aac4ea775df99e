"""The dtype of every pair of operands: tensors, tensors of no dimensions, and numbers."""

import itertools

import pytest

import graphjit as gj

torch = pytest.importorskip("torch")
from peers import outcome

pytestmark = pytest.mark.parity

DTYPES = "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
OPERATIONS = [
    "a + b", "a * b", "a - b", "a / b", "a // b", "a ** b", "a == b", "a < b", "t.where(m, a, b)",
    "t.maximum(a, b)", "t.atan2(a, b)", "a & b", "a.add_(b)", "a.mul_(b)", "a.div_(b)", "a % b",
    "t.cat([a.reshape(-1), b.reshape(-1)])", "t.stack([a.reshape(-1)[0], b.reshape(-1)[0]])",
    "a.logical_and(b)", "t.result_type(a, b)",
]  # fmt: skip
NUMBERS = ["True", "3", "2.5"]
SHAPES = ["[2, 3]", "2"]


def kind(value):
    """The dtype of a result, or the class of the error."""
    if isinstance(value, tuple) and len(value) == 4:
        return value[0]
    return value[0] if isinstance(value, tuple) else value


def assert_same_kind(text, setup):
    results = []
    for module in (gj, torch):
        found = outcome(module, text, setup)
        message = found[1] if isinstance(found, tuple) and len(found) == 2 else ""
        results.append((kind(found), message if "cast" in str(message) else ""))
    assert results[0] == results[1], f"{setup}; {text}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_pairs(operation):
    for x, y in itertools.product(DTYPES, DTYPES):
        for first, second in itertools.product(SHAPES, SHAPES):
            setup = (
                f"a = t.tensor({first}, dtype=t.{x}); b = t.tensor({second}, dtype=t.{y}); "
                "m = t.tensor([True, False])"
            )
            assert_same_kind(operation, setup)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("operation", [
    "a + n", "n * a", "a - n", "n - a", "a / n", "n / a", "a // n", "a ** n", "n ** a", "a == n",
    "a < n", "t.where(m, a, n)", "a.add_(n)", "a.mul_(n)", "a.clamp(max=n)", "a % n", "a & n",
    "t.full_like(a, n)", "a.fill_(n)", "t.result_type(a, n)",
])  # fmt: skip
def test_numbers(operation, number):
    for x in DTYPES:
        setup = f"a = t.tensor([2, 3], dtype=t.{x}); n = {number}; m = t.tensor([True, False])"
        assert_same_kind(operation, setup)


@pytest.mark.parametrize("operation", [
    "a.sum()", "a.mean()", "a.prod()", "a.cumsum(0)", "a.max()", "a.argmax()", "a.any()", "a.exp()",
    "a.abs()", "-a", "~a", "a.sqrt()", "a.floor()", "a.sigmoid()", "a.sign()", "a.std()",
    "a.norm()", "a.softmax(0)", "a.relu()", "a.sort()[0]", "a.square()", "a.reciprocal()",
    "a.round()", "a.topk(1)[0]", "a.clamp(0, 1)", "a.isnan()", "a.logical_not()", "a.var()",
    "a.median()",
    "a.unique()", "a.cumprod(0)", "a.erf()", "a.trunc()", "a.frac()", "a.tanh()", "a.nonzero()",
])  # fmt: skip
def test_one_operand(operation):
    for x in DTYPES:
        assert_same_kind(operation, f"a = t.tensor([2, 3], dtype=t.{x})")
