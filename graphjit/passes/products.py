"""Rules for matrix products: fewer and larger ones, and loops where a library call is no gain.

- A product of stacked rows with one matrix is one matrix product over all rows.
- A sum of products, over a batch or term by term (the gradient of a weight used many times), is one
  product with a longer inner dimension.
- A transposed product is the product of its transposed factors, the other way round.
- A product with a very short inner dimension, or with a vector, is pointwise ops and a sum, which
  fuse with what is around them.
"""

from __future__ import annotations

import math

from ..ir.graph import Node, Shape, Value
from ..ops import Op
from .sweep import Rule, Site, swapped

#: Up to this inner dimension a product is written out.
SHORT = 4
#: From this number of terms on a sum of products pays for the concatenation of its factors.
MANY = 4


def _merge_rows(site: Site) -> Value | None:
    """matmul(a[..., n, k], b[k, m]) over all rows of a at once."""
    a, b = site.inputs
    if a.ndim < 3 or b.ndim != 2 or not _packed(site, a):
        return None
    rows = site.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))
    return site.reshape(site.make("matmul", rows, b), (*a.shape[:-1], b.shape[1]))


def _packed(site: Site, value: Value) -> bool:
    """Whether the elements of `value` lie in row-major order, as far as is known here."""
    maker = site.build.producer.get(value)
    if maker is None or not isinstance(maker.op, Op) or not maker.op.moves_nothing:
        return True
    return maker.op.name == "reshape" and _packed(site, maker.inputs[0])


def _sum_over_batch(site: Site) -> Value | None:
    """sum(matmul(a[n, i, k], b[n, k, j]), dims=(0,)) as one product over n and k."""
    product = site.made_by(site.inputs[0], "matmul")
    if product is None or not site.only_reader() or site.node.attr("dims") != (0,):
        return None
    a, b = product.inputs
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0]:
        return None
    left = site.made_by(a, "permute")
    if left is None or left.attr("dims") != (0, 2, 1):
        return None
    if not _packed(site, left.inputs[0]) or not _packed(site, b):
        return None
    n, i, k = a.shape
    rows = site.reshape(left.inputs[0], (n * k, i))
    columns = site.reshape(b, (n * k, b.shape[2]))
    whole = site.make("matmul", site.transpose(rows), columns)
    return site.reshape(whole, site.node.output.shape)


def _transposed(site: Site) -> Value | None:
    """matmul(a, b) transposed as matmul(b transposed, a transposed)."""
    product = site.made_by(site.inputs[0], "matmul")
    dims = site.node.attr("dims")
    if product is None or not site.only_reader() or dims != swapped(len(dims)):
        return None
    a, b = (site.transpose(value) for value in product.inputs)
    return site.make("matmul", b, a)


def _short(site: Site) -> Value | None:
    """matmul(a[..., n, k], b[..., k, m]) with a very small k, term by term."""
    a, b = site.inputs
    k = a.shape[-1]
    if not 1 <= k <= SHORT or not _in_loops(a):
        return None
    terms = [
        site.make("mul", _column(site, a, i, a.ndim - 1), _column(site, b, i, b.ndim - 2))
        for i in range(k)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = site.make("add", total, term)
    return total


def _in_loops(value: Value) -> bool:
    """Whether loops add up products as a library does: float16 would round each of them."""
    return value.dtype.is_floating_point and value.dtype.itemsize >= 4


def _column(site: Site, value: Value, i: int, dim: int) -> Value:
    if value.shape[dim] == 1:
        return value
    return site.make("slice_", value, dim=dim, start=i, stop=i + 1, step=1)


def _with_vector(site: Site) -> Value | None:
    """A product with a single column or row as a sum over the matrix, in its own orientation."""
    a, b = site.inputs
    if a.ndim != 2 or b.ndim != 2 or not _in_loops(a):
        return None
    if b.shape[1] == 1:
        return _weighted_sum(site, a, b, 0)
    if a.shape[0] == 1:
        return _weighted_sum(site, b, a, 1)
    return None


def _weighted_sum(site: Site, matrix: Value, vector: Value, inner: int) -> Value:
    """The sum of `matrix` times `vector`; `inner` is the dimension of `vector` that is summed."""
    dim = 1 - inner
    transposed = site.made_by(matrix, "permute")
    if transposed is not None and transposed.attr("dims") == (1, 0):
        matrix, dim = transposed.inputs[0], 1 - dim
    extent = matrix.shape[dim]
    factor = site.reshape(vector, (1, extent) if dim else (extent, 1))
    total = site.make("sum", site.make("mul", matrix, factor), dims=(dim,))
    return site.reshape(total, site.node.output.shape)


def _sum_of_terms(site: Site) -> Value | None:
    """A chain of additions of many products, or of many sums, as one of each."""
    if _continues(site, site.node):
        return None
    leaves = _terms(site, site.node)
    if len(leaves) < MANY:
        return None
    groups: dict[tuple[str, Shape], list[Node]] = {}
    rest: list[Value] = []
    for old in leaves:
        maker = site.build.producer.get(site.context.known[old])
        key = _kind_of_term(maker) if site.context.single_reader(old) else None
        if maker is None or key is None:
            rest.append(site.context.known[old])
        else:
            groups.setdefault(key, []).append(maker)
    if all(len(group) < MANY for group in groups.values()):
        return None
    for (name, _), group in groups.items():
        if len(group) < MANY:
            rest += [node.output for node in group]
        elif name == "matmul":
            rest.append(_joined_products(site, group))
        else:
            rest.append(_joined_sums(site, group))
    total = rest[0]
    for value in rest[1:]:
        total = site.make("add", total, value)
    return total


def _continues(site: Site, node: Node) -> bool:
    """Whether the sum goes on: the only reader of `node` adds something of the same shape."""
    if not site.context.single_reader(node.output):
        return False
    (reader,) = site.context.users[node.output]
    return reader.op is node.op and reader.output.shape == node.output.shape


def _terms(site: Site, root: Node) -> list[Value]:
    """What a chain of additions adds up, in order."""
    shape, leaves, stack = root.output.shape, [], list(root.inputs[::-1])
    if any(value.shape != shape for value in root.inputs):
        return []
    while stack:
        value = stack.pop()
        maker = site.context.maker.get(value)
        inner = maker is not None and maker.op is root.op and site.context.single_reader(value)
        if inner and maker is not None and all(v.shape == shape for v in maker.inputs):
            stack += maker.inputs[::-1]
        else:
            leaves.append(value)
    return leaves


def _kind_of_term(node: Node | None) -> tuple[str, Shape] | None:
    """Terms with equal keys can be joined; None for those that cannot be joined to any."""
    if node is None or node.op.name not in ("matmul", "sum") or node.output.ndim != 2:
        return None
    if node.op.name == "matmul" and all(value.ndim == 2 for value in node.inputs):
        return "matmul", ()
    if node.op.name == "sum" and node.attr("dims") == (0,):
        return "sum", node.inputs[0].shape[1:]
    return None


def _joined_products(site: Site, products: list[Node]) -> Value:
    """The sum of matmul(a, b) as the product of all a side by side with all b on top of another."""
    lefts = [site.transpose(node.inputs[0]) for node in products]
    left = site.transpose(site.make("concat", *lefts, dim=0))
    right = site.make("concat", *(node.inputs[1] for node in products), dim=0)
    return site.make("matmul", left, right)


def _joined_sums(site: Site, sums: list[Node]) -> Value:
    whole = site.make("concat", *(node.inputs[0] for node in sums), dim=0)
    return site.make("sum", whole, dims=(0,))


RULES: dict[str, tuple[Rule, ...]] = {
    "matmul": (_merge_rows,),
    "sum": (_sum_over_batch,),
    "permute": (_transposed,),
    "add": (_sum_of_terms,),
}
#: To be applied when the products are final: what these rules make is no product any more.
SMALL_RULES: dict[str, tuple[Rule, ...]] = {"matmul": (_with_vector, _short)}
