"""Random graphs over the ops that passes treat specially."""

from hypothesis import strategies as st

from graphjit import dtypes
from graphjit.ir.graph import Builder, Graph, Spec, Value
from graphjit.ops import OPS

UNARY = "neg abs exp tanh sigmoid relu sqrt clone logical_not".split()
BINARY = "add sub mul div maximum minimum lt eq logical_and".split()
REDUCE = "sum amax amin prod".split()
EXTENTS = (1, 1, 2, 3, 4)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0)
MAX_SIZE = 1500


class Maker:
    """Draws nodes; every value made so far may be an operand."""

    def __init__(self, draw):
        self.draw = draw
        self.build = Builder()
        shapes = st.lists(st.sampled_from(EXTENTS), min_size=0, max_size=3)
        self.inputs = [
            Value(Spec(tuple(draw(shapes)), dtypes.float64))
            for _ in range(draw(st.integers(1, 3)))
        ]
        self.values = list(self.inputs)

    def graph(self):
        for _ in range(self.draw(st.integers(1, 14))):
            self.node()
        made = self.values[len(self.inputs) :] or self.values
        outputs = self.draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))
        updates = [
            (old, new)
            for old in self.inputs
            for new in made[-1:]
            if old.spec == new.spec and self.draw(st.booleans())
        ]
        return Graph(tuple(self.inputs), tuple(self.build.nodes), tuple(outputs), tuple(updates))

    def node(self):
        kinds = [
            self.unary, self.unary, self.binary, self.binary, self.binary, self.number,
            self.reduction, self.reduction, self.view, self.view, self.where, self.product,
            self.pieces,
        ]  # fmt: skip
        self.draw(st.sampled_from(kinds))()

    def add(self, name, *inputs, **attrs):
        op = OPS[name]
        try:
            specs = op.infer(*(v.spec for v in inputs), **attrs)
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
            return None
        if any(spec.size > MAX_SIZE for spec in specs):
            return None
        outputs = self.build.add(op, inputs, attrs)
        self.values += outputs
        return outputs[0]

    def value(self, dtype=None):
        chosen = self.draw(st.sampled_from(self.values))
        if dtype is not None and chosen.dtype is not dtype:
            chosen = self.add("cast", chosen, dtype=dtype)
        return chosen

    def unary(self):
        name = self.draw(st.sampled_from(UNARY))
        self.add(name, self.value(None if name in ("clone", "logical_not") else dtypes.float64))

    def binary(self):
        name = self.draw(st.sampled_from(BINARY))
        dtype = dtypes.bool_ if name.startswith("logical") else dtypes.float64
        self.add(name, self.value(dtype), self.value(dtype))

    def number(self):
        name = self.draw(st.sampled_from(("add", "sub", "mul", "div", "pow")))
        attrs = {"value": self.draw(st.sampled_from(NUMBERS)), "dtype": dtypes.float64}
        if self.draw(st.booleans()):
            number = self.add("constant", **attrs)
        else:
            number = self.add("full", shape=self.draw(st.sampled_from([(2,), (3, 1)])), **attrs)
        operands = [self.value(dtypes.float64), number]
        self.add(name, *(operands if self.draw(st.booleans()) else operands[::-1]))

    def where(self):
        self.add("where", self.value(dtypes.bool_), self.value(dtypes.float64),
                 self.value(dtypes.float64))  # fmt: skip

    def reduction(self):
        x = self.value(dtypes.float64)
        if x.ndim:
            dims = self.draw(st.sets(st.integers(0, x.ndim - 1)))
            self.add(self.draw(st.sampled_from(REDUCE)), x, dims=tuple(sorted(dims)))

    def view(self):
        views = (
            self.permute, self.expand, self.squeeze, self.unsqueeze, self.flatten, self.slice
        )  # fmt: skip
        self.draw(st.sampled_from(views))(self.value())

    def flatten(self, x):
        self.add("reshape", x, shape=(x.spec.size,))

    def permute(self, x):
        self.add("permute", x, dims=tuple(self.draw(st.permutations(range(x.ndim)))))

    def expand(self, x):
        shape = [e if e != 1 else self.draw(st.sampled_from(EXTENTS)) for e in x.shape]
        lead = self.draw(st.lists(st.sampled_from((2, 3)), max_size=1))
        self.add("expand", x, shape=(*lead, *shape))

    def squeeze(self, x):
        self.add("reshape", x, shape=tuple(e for e in x.shape if e != 1))

    def unsqueeze(self, x):
        place = self.draw(st.integers(0, x.ndim))
        self.add("reshape", x, shape=(*x.shape[:place], 1, *x.shape[place:]))

    def slice(self, x):
        if x.ndim:
            dim = self.draw(st.integers(0, x.ndim - 1))
            start = self.draw(st.integers(0, x.shape[dim] - 1))
            stop = self.draw(st.integers(start + 1, x.shape[dim]))
            step = self.draw(st.sampled_from((1, 1, 2)))
            self.add("slice_", x, dim=dim, start=start, stop=stop, step=step)

    def product(self):
        a, b = self.value(dtypes.float64), self.value(dtypes.float64)
        self.add("matmul", a, b)
        if b.ndim >= 2:
            swapped = (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
            self.add("matmul", a, self.add("permute", b, dims=swapped))

    def pieces(self):
        x, y = self.value(dtypes.float64), self.value(dtypes.float64)
        if x.ndim:
            dim = self.draw(st.integers(0, x.ndim - 1))
            self.add("concat", x, y, dim=dim)
            shape = (*x.shape[:dim], x.shape[dim] + 2, *x.shape[dim + 1 :])
            zeros = self.add("full", shape=shape, value=0.0, dtype=dtypes.float64)
            if zeros is not None:
                start = self.draw(st.integers(0, 2))
                where = {"dim": dim, "start": start, "stop": start + x.shape[dim], "step": 1}
                self.add("slice_scatter", zeros, x, **where)


@st.composite
def graphs(draw):
    """A graph of up to some twenty nodes in float64 and bool."""
    return Maker(draw).graph()
