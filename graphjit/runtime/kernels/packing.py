"""Copies of blocks of matrices to rows without gaps, for the tiles to read."""

from __future__ import annotations

from collections.abc import Callable

from ..language import inline, vector
from ..language.instructions import loader, storer, transposed, vector_loader, vector_storer
from ..language.types import Type, lanes_of


def pack(element: Type) -> Callable[..., None]:
    """A helper `pack(target, target_row, source, rows, columns, row, column)`.

    `row` and `column` are the strides of the source; the target's columns are neighbours.
    """
    by_rows, by_columns, one_by_one = _rows(element), _columns(element), _elements(element)

    @inline
    def pack(
        target: int, target_row: int, source: int, rows: int, columns: int, row: int, column: int
    ) -> None:
        if column == 1:
            by_rows(target, target_row, source, rows, columns, row)
        elif row == 1:
            by_columns(target, target_row, source, rows, columns, column)
        else:
            one_by_one(target, target_row, source, rows, columns, row, column)

    return pack


def _rows(element: Type) -> Callable[..., None]:
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)

    @inline
    def by_rows(
        target: int, target_row: int, source: int, rows: int, columns: int, row: int
    ) -> None:
        for _ in range(rows):
            for j in range(0, columns, lanes):
                store(target, j, load(source, j, columns - j), columns - j)
            target += size * target_row
            source += size * row

    return by_rows


def _columns(element: Type) -> Callable[..., None]:
    """Squares of as many rows as a vector has lanes are turned in registers."""
    lanes = lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)
    lines, reversed_lines = range(lanes), range(lanes - 1, -1, -1)

    @inline
    def square(
        target: int, target_row: int, source: int, wide: int, high: int, column: int
    ) -> None:
        """The transpose of up to `wide` x `high` elements."""
        read = [load(source, min(j, wide - 1) * column, high) for j in lines]
        turned = transposed(read)
        for i in reversed_lines:  # those that do not count are written over by the last that does
            store(target, min(i, high - 1) * target_row, turned[i], wide)

    @inline
    def by_columns(
        target: int, target_row: int, source: int, rows: int, columns: int, column: int
    ) -> None:
        size = element.size
        for j in range(0, columns, lanes):
            for i in range(0, rows, lanes):
                square(
                    target + size * (i * target_row + j), target_row,
                    source + size * (i + j * column), columns - j, rows - i, column,
                )  # fmt: skip

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
