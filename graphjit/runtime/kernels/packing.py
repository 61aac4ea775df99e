"""Copies of blocks of matrices for the tiles to read: strips of b, and panels of a.

Vectors that would reach beyond the end of a row start earlier instead, and overlap the one before.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import inline, vector
from ..language.instructions import (
    loader,
    prefetch,
    storer,
    transposed,
    vector_loader,
    vector_storer,
)
from ..language.types import Type, lanes_of
from . import tiling


def pack(element: Type) -> Callable[..., None]:
    """A helper `pack(target, target_row, source, rows, columns, row, column)`.

    `row` and `column` are the strides of the source; the target's columns are neighbours.
    """
    lanes, widest = lanes_of(element), tiling.strip_columns(element.size)
    by_rows, by_columns, one_by_one = _rows(element), _columns(element), _elements(element)

    @inline
    def pack(
        target: int, target_row: int, source: int, rows: int, columns: int, row: int, column: int
    ) -> None:
        if column == 1 and lanes <= columns <= widest:
            by_rows(target, target_row, source, rows, columns, row)
        elif row == 1 and columns >= lanes and rows >= lanes:
            by_columns(target, target_row, source, rows, columns, column)
        else:
            one_by_one(target, target_row, source, rows, columns, row, column)

    return pack


def panels(element: Type, lines: int) -> Callable[..., None]:
    """A helper `panels(target, source, rows, inner, row, column)`: panels of `lines` rows.

    A panel has its rows' first elements side by side, then the second ones... The target is
    followed by room for a vector.
    """
    size, lanes = element.size, lanes_of(element)
    beside, turned = _beside(element, lines), _turned(element, lines)
    one_by_one = _elements(element)

    @inline
    def panels(target: int, source: int, rows: int, inner: int, row: int, column: int) -> None:
        whole = rows // lines
        if row == 1:
            beside(target, source, whole, inner, column)
        elif column == 1 and inner >= lanes:
            turned(target, source, whole, inner, row)
        else:
            whole = 0
        for m in range(whole * lines, rows, lines):
            at, to = source + size * m * row, target + size * m * inner
            one_by_one(to, lines, at, inner, min(lines, rows - m), column, row)

    return panels


#: Terms that are copied from all rows at a time: their cache lines stay while they are in use.
_FEW_TERMS = 8


def _beside(element: Type, lines: int) -> Callable[..., None]:
    """Panels of rows that are neighbours in memory."""
    size, kind = element.size, vector(element, lines)
    load, store = vector_loader(kind), vector_storer(kind)

    @inline
    def beside(target: int, source: int, count: int, inner: int, column: int) -> None:
        for k in range(0, inner, _FEW_TERMS):
            some = min(_FEW_TERMS, inner - k)
            for m in range(count):
                at = source + size * (m * lines + k * column)
                to = target + size * lines * (m * inner + k)
                for _ in range(some):
                    prefetch(at + size * _FEW_TERMS * column, False)
                    store(to, 0, load(at, 0))
                    to += size * lines
                    at += size * column

    return beside


def _turned(element: Type, lines: int) -> Callable[..., None]:
    """Panels of rows that have no gaps: squares are turned in registers."""
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)
    numbers, parts = range(lanes), range(0, lines, lanes)

    @inline
    def turned(target: int, source: int, count: int, inner: int, row: int) -> None:
        for _ in range(count):
            for i in range(0, inner, lanes):
                k = min(i, inner - lanes)
                at = [source + size * (k + min(r, lines - 1) * row) for r in range(lines + lanes)]
                squares = [transposed([load(at[m + r], 0) for r in numbers]) for m in parts]
                for j in numbers:  # what a vector has too much is written over by the next
                    for m in parts:
                        store(target, (k + j) * lines + m, squares[m // lanes][j])
            target += size * lines * inner
            source += size * lines * row

    return turned


def _rows(element: Type) -> Callable[..., None]:
    """Rows of up to a tile's vectors, whose number is known in each of several loops."""
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)
    choices = [(n, range(n)) for n in range(tiling.shape().vectors)]

    @inline
    def by_rows(
        target: int, target_row: int, source: int, rows: int, columns: int, row: int
    ) -> None:
        last = columns - lanes
        for n, whole in choices:
            if n * lanes < columns <= (n + 1) * lanes:
                for _ in range(rows):
                    prefetch(source + size * (2 * columns - 1), False)
                    for j in whole:
                        store(target, j * lanes, load(source, j * lanes))
                    store(target, last, load(source, last))
                    target += size * target_row
                    source += size * row

    return by_rows


def _columns(element: Type) -> Callable[..., None]:
    """Squares of as many rows as a vector has lanes are turned in registers."""
    lanes = lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)
    numbers = range(lanes)

    @inline
    def by_columns(
        target: int, target_row: int, source: int, rows: int, columns: int, column: int
    ) -> None:
        for x in range(0, columns, lanes):
            j = min(x, columns - lanes)
            for y in range(0, rows, lanes):
                i = min(y, rows - lanes)
                square = transposed([load(source, i + (j + n) * column) for n in numbers])
                for n in numbers:
                    store(target, (i + n) * target_row + j, square[n])

    return by_columns


def _elements(element: Type) -> Callable[..., None]:
    load, store = loader(element), storer(element)

    @inline
    def one_by_one(
        target: int, target_row: int, source: int, rows: int, columns: int, row: int, column: int
    ) -> None:
        for i in range(rows):
            for j in range(columns):
                store(target, i * target_row + j, load(source, i * row + j * column))

    return one_by_one
