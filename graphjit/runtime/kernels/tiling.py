"""How matrix products are cut up: by the machine's vectors, registers and caches."""

from __future__ import annotations

from dataclasses import dataclass

from .. import objects

#: Terms of a sum that are added up at a time: a strip of b stays in the first cache.
BLOCK_TERMS = 256
#: Bytes of a block of a, which stays in the second.
_BLOCK_BYTES = 240 * 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows and vectors of the largest tile; `flat` has those of tiles of very few rows.

    Sums, a row of b and an element of a fill the registers.
    """

    lines: int
    vectors: int
    flat: tuple[tuple[int, int], ...]


_OF_16_REGISTERS = Shape(6, 2, ((1, 8), (2, 4)))
_OF_32_REGISTERS = Shape(8, 3, ((1, 12), (2, 8)))


def shape() -> Shape:
    """The tiles for this machine."""
    return _OF_32_REGISTERS if objects.vector_registers() == 32 else _OF_16_REGISTERS


def strip_columns(size: int) -> int:
    """Columns of the largest tile, of elements of so many bytes."""
    return shape().vectors * objects.vector_bytes() // size


def block_rows(size: int) -> int:
    """Rows of a, of elements of so many bytes, that are multiplied at a time."""
    return _BLOCK_BYTES // (BLOCK_TERMS * size)


def left_space(size: int, rows: int, terms: int) -> int:
    """Elements of scratch for a block of rows of a, in panels as high as a tile."""
    lines = shape().lines
    panels = -(-min(rows, block_rows(size)) // lines)
    return panels * lines * min(terms, BLOCK_TERMS) + objects.vector_bytes() // size


def right_space(size: int, terms: int) -> int:
    """Elements of scratch for a block of a strip of b."""
    return strip_columns(size) * min(terms, BLOCK_TERMS)
