"""Parts of matrix products: tiles of the result that are summed up in registers.

A tile is some rows by a few vectors. It reads columns of b that are neighbours in memory; the
strides of a are free. Every element is summed in the order of k, one term after another, whatever
tile it is in, so that no choice of tiles changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import inline, vector
from ..language.instructions import loader, prefetch, vector_loader, vector_storer
from ..language.types import Type, lanes_of
from .tiling import shape


def tile(
    element: Type, lines: int, vectors: int, least: int, narrow: bool = False
) -> Callable[..., None]:
    """A helper for a tile of `lines` rows (of which `rows` count) and so many vectors of columns.

    No fewer than `least` rows count.
    `columns` says how many columns count: if the last vector is not full it overlaps the one
    before it, and a tile of less than a vector is `narrow`. `a`, `b`, `c` are addresses of the
    tile's first elements, `*_row` and `*_inner` strides in elements.
    """
    lanes, size = lanes_of(element), element.size
    kind = vector(element, lanes)
    load_scalar, load, store = loader(element), vector_loader(kind), vector_storer(kind)
    lines_, parts, cells = range(lines), range(vectors), range(lines * vectors)

    is_overlapping = [v == vectors - 1 and not narrow for v in parts]

    @inline
    def tile(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> None:  # fmt: skip
        # Lines that do not count repeat the last that does, which costs less than branches.
        last, end = rows - 1, columns - lanes
        line = [r if r < least else min(r, last) for r in lines_]
        left_step, sum_step = size * a_row, size * c_row
        left_at = [a + line[r] * left_step for r in lines_]
        sum_at = [c + line[r] * sum_step for r in lines_]
        across = [end if is_overlapping[v] else v * lanes for v in parts]
        right_at = [b + size * across[v] for v in parts]
        sums = [kind(0) for _ in cells]
        for r in lines_:
            prefetch(sum_at[r], True)
        for k in range(inner):
            term = k * b_inner
            right = [load(right_at[v], term, columns if narrow else lanes) for v in parts]
            for r in lines_:
                left = kind(load_scalar(left_at[r], k * a_inner))
                for v in parts:
                    sums[r * vectors + v] += left * right[v]
        if accumulate != 0:
            for r in lines_:
                for v in parts:
                    sums[r * vectors + v] += load(
                        sum_at[r], across[v], columns if narrow else lanes
                    )
        for r in lines_:
            for v in parts:
                store(
                    sum_at[r], across[v], sums[r * vectors + v], columns if narrow else lanes
                )

    return tile


def strip(element: Type) -> Callable[..., None]:
    """A helper for any number of rows of a strip no wider than the largest tile.

    Operands as in `tile`; a's next `lines` rows follow `a_panel` elements after the first ones.
    """
    lanes, wide = lanes_of(element), shape().vectors
    choices = [(v * lanes, down(element, v + 1)) for v in range(wide)]
    narrow = down(element, 1, narrow=True)

    @inline
    def strip(
        a: int, a_panel: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> None:  # fmt: skip
        if columns < lanes:
            narrow(
                a, a_panel, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate
            )
        else:
            for fewer, compute in choices:
                if fewer < columns <= fewer + lanes:
                    compute(
                        a, a_panel, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns,
                        accumulate,
                    )  # fmt: skip

    return strip


def down(element: Type, vectors: int, narrow: bool = False) -> Callable[..., None]:
    """A helper for any number of rows of so many vectors; operands as in `strip`.

    The last rows have tiles of half and a quarter of the lines.
    """
    size, lines = element.size, shape().lines
    few, half = 2, 4
    least = {lines: half + 1, half: few + 1, few: 1}
    tall, low, thin = (tile(element, n, vectors, least[n], narrow) for n in (lines, half, few))

    @inline
    def down(
        a: int, a_panel: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> None:  # fmt: skip
        while rows > half:
            tall(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate)
            a += size * a_panel
            c += size * lines * c_row
            rows -= lines
        if rows > few:
            low(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate)
        elif rows > 0:
            thin(a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate)

    return down
