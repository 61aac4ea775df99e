"""`einsum`: sums of products named by letters, done as matrix products of two operands each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import locate
from .base import alone, is_tensor
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


@dataclass(frozen=True, slots=True)
class Term:
    """A tensor with a label for each dimension: a letter, or a number within an ellipsis."""

    tensor: Tensor
    labels: tuple[Any, ...]


def einsum(equation: str, *operands: Any) -> Any:
    """The sum of products that `equation` describes, such as "ij,jk->ik".

    Operands are contracted from left to right. RuntimeError for an equation that does not fit.
    """
    if len(operands) == 1 and not is_tensor(operands[0]):
        operands = tuple(operands[0])
    if not operands:
        raise locate(RuntimeError("einsum(): must provide at least one operand"))
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    texts = inputs.split(",")
    if len(texts) != len(operands):
        kind = "more" if len(texts) < len(operands) else "fewer"
        raise locate(RuntimeError(
            f"einsum(): {kind} operands were provided than specified in the equation"
        ))
    spread = _ellipsis_size(texts, operands)
    terms = [_term(text, x, spread, i)
             for i, (text, x) in enumerate(zip(texts, operands, strict=True))]
    wanted = _labels(output, spread) if arrow else _implied_output(inputs, spread)
    _check(terms, wanted)
    while len(terms) > 1:
        first, second, *rest = terms
        needed = {*wanted, *(label for term in rest for label in term.labels)}
        terms = [_contract(first, second, needed), *rest]
    result = _arranged(terms[0], wanted)
    is_view = any(np.may_share_memory(result._array, x._array) for x in operands)
    return result if is_view else alone(result)


def _ellipsis_size(texts: Sequence[str], operands: Sequence[Tensor]) -> int:
    """How many dimensions the largest ellipsis stands for."""
    sizes = [x._array.ndim - len(text.replace("...", ""))
             for text, x in zip(texts, operands, strict=True) if "..." in text]
    return max(sizes, default=0)


def _labels(text: str, spread: int) -> tuple[Any, ...]:
    before, dots, after = text.partition("...")
    return (*before, *(range(spread) if dots else ()), *after)


def _term(text: str, x: Tensor, spread: int, number: int) -> Term:
    """An operand, with the diagonal taken where a letter stands twice."""
    ndim = x._array.ndim
    named = len(text.replace("...", ""))
    labels = list(_labels(text, spread))
    if "..." in text:  # the dimensions of a shorter ellipsis are the last ones
        missing = spread - (ndim - named)
        labels = [label for label in labels if not isinstance(label, int) or label >= missing]
    if len(labels) != ndim:
        raise locate(RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) does not match the "
            f"number of dimensions ({ndim}) for operand {number} and no ellipsis was given"
        ))
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = F.diagonal(x, offset=0, dim1=i, dim2=j)
            labels = [*labels[:i], *labels[i + 1 : j], *labels[j + 1 :], label]
    return Term(x, tuple(labels))


def _implied_output(inputs: str, spread: int) -> tuple[Any, ...]:
    """The ellipsis, then the letters that occur once, in alphabetical order."""
    letters = sorted(letter for letter in inputs if letter.isalpha())
    return (*range(spread), *(letter for letter in letters if letters.count(letter) == 1))


def _check(terms: Sequence[Term], wanted: Sequence[Any]) -> None:
    known = {label for term in terms for label in term.labels}
    for label in wanted:
        if label not in known:
            raise locate(RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input "
                "operand"
            ))
        if list(wanted).count(label) > 1:
            raise locate(RuntimeError(
                f"einsum(): output subscript {label} appears more than once in the output"
            ))


def _sizes(*terms: Term) -> dict[Any, int]:
    """The extent of each label; an extent of 1 broadcasts."""
    sizes: dict[Any, int] = {}
    for term in terms:
        for label, extent in zip(term.labels, term.tensor._array.shape, strict=True):
            known = sizes.get(label, 1)
            if 1 not in (known, extent) and known != extent:
                raise locate(RuntimeError(
                    f"einsum(): subscript {label} has size {extent} for operand 1 which does not "
                    f"broadcast with previously seen size {known}"
                ))
            sizes[label] = max(known, extent) if 0 not in (known, extent) else 0
    return sizes


def _summed(term: Term, gone: set[Any]) -> Term:
    dims = tuple(i for i, label in enumerate(term.labels) if label in gone)
    if not dims:
        return term
    kept = tuple(label for label in term.labels if label not in gone)
    return Term(F.sum_squeeze(term.tensor, dims=dims), kept)


def _contract(a: Term, b: Term, needed: set[Any]) -> Term:
    """One batched matrix product: what both have and is needed is the batch."""
    a = _summed(a, set(a.labels) - set(b.labels) - needed)
    b = _summed(b, set(b.labels) - set(a.labels) - needed)
    sizes = _sizes(a, b)
    common = [label for label in a.labels if label in b.labels]
    batch = [label for label in common if label in needed]
    inner = [label for label in common if label not in needed]
    left = [label for label in a.labels if label not in common]
    right = [label for label in b.labels if label not in common]
    rows = _as_matrices(a, (batch, left, inner), sizes)
    columns = _as_matrices(b, (batch, inner, right), sizes)
    product = F.bmm(rows, columns) if batch else F.unsqueeze(
        F.mm(F.squeeze(rows, dims=(0,)), F.squeeze(columns, dims=(0,))), dim=0
    )
    labels = (*batch, *left, *right)
    shape = tuple(sizes[label] for label in labels)
    return Term(F.reshape(product, shape=shape), labels)


def _as_matrices(term: Term, groups: Sequence[list[Any]], sizes: dict[Any, int]) -> Any:
    """The dimensions in three groups, each made one."""
    order = [label for group in groups for label in group]
    x = F.permute(term.tensor, dims=tuple(term.labels.index(label) for label in order))
    full = tuple(sizes[label] for label in order)
    if x._array.shape != full:
        x = F.expand(x, shape=full)
    return F.reshape(x, shape=tuple(math.prod(sizes[label] for label in g) for g in groups))


def _arranged(term: Term, wanted: tuple[Any, ...]) -> Any:
    term = _summed(term, set(term.labels) - set(wanted))
    return F.permute(term.tensor, dims=tuple(term.labels.index(label) for label in wanted))
