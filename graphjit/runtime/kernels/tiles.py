"""Parts of matrix products: tiles of the result that are summed up in registers.

A tile is some rows by one to three vectors. It reads columns of b that are neighbours in memory;
the strides of a are free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import i64, inline, vector
from ..language.instructions import call, loader, vector_loader, vector_storer
from ..language.types import Type, lanes_of
from .elements import REAL
from .packing import pack

#: Vectors at most in a row of a tile.
VECTORS = 3
#: Rows of tiles for few rows.
FEW = 2
#: Terms of a sum that are added before the next tile has its turn: a strip of b stays in cache.
BLOCK = 512


def rows_of(element: Type) -> int:
    """Rows of a tile: its sums and a row of b fill the registers, of which AVX has 16."""
    return 4 if lanes_of(element) * element.size == 32 else 8


def strip_width(element: Type) -> int:
    """Columns of the widest tile."""
    return VECTORS * lanes_of(element)


def tile(element: Type, lines: int, vectors: int) -> Callable[..., None]:
    """A helper for a tile of `lines` rows (of which `rows` count) and so many vectors of columns.

    `columns` says how many columns count. `a`, `b`, `c` are addresses of the tile's first
    elements, `*_row` and `*_inner` strides in elements.
    """
    lanes, size = lanes_of(element), element.size
    kind = vector(element, lanes)
    load_scalar, load, store = loader(element), vector_loader(kind), vector_storer(kind)
    lines_, parts, cells = range(lines), range(vectors), range(lines * vectors)

    @inline
    def bound(part: int, columns: int) -> Any:
        """How many lanes of a vector count; only in the last it may be fewer than all."""
        return columns - (vectors - 1) * lanes if part == vectors - 1 else lanes

    @inline
    def tile(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> None:  # fmt: skip
        # Lines that do not count repeat the last that does, which costs less than branches.
        left_at = [a + size * min(r, rows - 1) * a_row for r in lines_]
        sum_at = [c + size * min(r, rows - 1) * c_row for r in lines_]
        sums = [kind(0) for _ in cells]
        if accumulate != 0:
            for r in lines_:
                for v in parts:
                    sums[r * vectors + v] = load(sum_at[r], v * lanes, bound(v, columns))
        for k in range(inner):
            right = [load(b, k * b_inner + v * lanes, bound(v, columns)) for v in parts]
            for r in lines_:
                left = kind(load_scalar(left_at[r], k * a_inner))
                for v in parts:
                    sums[r * vectors + v] += left * right[v]
        for r in lines_:
            for v in parts:
                store(sum_at[r], v * lanes, sums[r * vectors + v], bound(v, columns))

    return tile


def strip(element: Type) -> Callable[..., None]:
    """A helper for any number of rows of up to three vectors of columns; operands as in `tile`."""
    lanes, size, lines = lanes_of(element), element.size, rows_of(element)
    one, two, three = (tile(element, lines, n + 1) for n in range(VECTORS))
    thin = tile(element, FEW, VECTORS)

    @inline
    def strip(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> None:  # fmt: skip
        down, across = size * lines * a_row, size * lines * c_row
        if columns > 2 * lanes:
            while rows > FEW:
                three(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate)
                a += down
                c += across
                rows -= lines
            if rows > 0:
                thin(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate)
        elif columns > lanes:
            for m in range(0, rows, lines):
                two(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows - m, columns, accumulate)
                a += down
                c += across
        else:
            for m in range(0, rows, lines):
                one(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows - m, columns, accumulate)
                a += down
                c += across

    return strip


#: `multiply(address of a product's function, *its operands)`
multiply = call(None, *[i64] * 13)


def product(dtype: str) -> Callable[..., None]:
    """The function of a whole product, by blocks of the sum and strips of columns.

    Kernels call it by its address, so that its code is made once for all of them.

    Operands as in `tile`. With `scratch`, room for a block of a strip, columns of b need not be
    neighbours.
    """
    element = REAL[dtype]
    size, lanes = element.size, lanes_of(element)
    copy, compute = pack(element), strip(element)

    @inline
    def even_strip(columns: int) -> Any:
        """Columns of the next strip: four vectors are two and two, not three and one."""
        vectors = (columns + lanes - 1) // lanes
        strips = (vectors + VECTORS - 1) // VECTORS
        return min(columns, (vectors + strips - 1) // strips * lanes)

    def product(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, b_column: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int, scratch: int,
    ) -> None:  # fmt: skip
        for k in range(0, inner, BLOCK):
            count, left = min(BLOCK, inner - k), a + size * k * a_inner
            n = 0
            while n < columns:
                width = even_strip(columns - n)
                source, step = b + size * (n * b_column + k * b_inner), b_inner
                if scratch != 0:
                    copy(scratch, width, source, count, width, b_inner, b_column)
                    source, step = scratch, width
                compute(
                    left, a_row, a_inner, source, step, c + size * n, c_row, count, rows, width,
                    accumulate if k == 0 else 1,
                )  # fmt: skip
                n += width

    return product
