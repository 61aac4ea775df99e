"""`repr` of tensors, to the character."""

import numpy as np
import pytest

import graphjit as gj

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

DTYPES = "float32 float64 float16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()
SHAPES = [(), (1,), (3,), (12,), (40,), (0,), (0, 3), (2, 3), (3, 1), (7, 20), (2, 3, 4), (2, 0, 3),
          (1001,), (40, 40), (2, 30, 30), (1, 1, 1, 2), (5, 2, 11, 11)]  # fmt: skip
SCALES = [1, 1e-5, 1e5, 1e9, 0.01, 300]


@pytest.fixture(autouse=True)
def torch_names(monkeypatch):
    """The line's width counts the name of the library."""
    monkeypatch.setattr(gj.config, "NAMESPACE", "torch")


def assert_prints_alike(array, requires_grad=False):
    ours, theirs = gj.tensor(array), torch.tensor(array)
    if requires_grad:
        ours.requires_grad_()
        theirs.requires_grad_()
    assert repr(ours) == repr(theirs)


def random_array(rng, shape, dtype, scale):
    values = rng.standard_normal(shape) * scale
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    if dtype == "uint8":
        values = np.abs(values) % 256
    elif dtype.startswith("int"):
        values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max / 2)
    with np.errstate(all="ignore"):
        return np.asarray(values).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random(dtype, shape):
    rng = np.random.default_rng(0)
    for scale in SCALES:
        assert_prints_alike(random_array(rng, shape, dtype, scale))


SPECIAL = [
    [np.nan], [np.inf, 1.0], [-np.inf, 0.5], [np.nan, np.nan, 1.5], [0.0, -0.0], [1.0, 2000.0],
    [1e10], [1e-10, 1.0], [1.0, 2.0, np.nan], [-1.0, 1.0], [0.1, -0.1], [1e8], [1.1e8], [99999.5],
    [1e-4], [9.9e-5], [1e38, 1e-38], [0.99999], [100000.0], [123456.789], [np.inf],
    [-np.inf, np.nan], [1e20, np.inf], [0.0, 2.1019e-44],
]  # fmt: skip


@pytest.mark.parametrize("values", SPECIAL, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_special(values, dtype):
    with np.errstate(all="ignore"):
        assert_prints_alike(np.array(values, dtype))


@pytest.mark.parametrize("n", range(1, 30))
def test_suffixes_wrap(n):
    """A suffix that does not fit the line goes to the next."""
    assert_prints_alike(np.arange(n, dtype="f4"), requires_grad=True)
    assert_prints_alike(np.arange(n, dtype="f8") / 3, requires_grad=True)
    assert_prints_alike(np.arange(n, dtype="i4"))


@pytest.mark.parametrize("text", [
    "x + 1", "x * 2", "x.mean()", "x.sum()", "x[0]", "x[:1]", "x.t()", "x.T", "x.view(6)",
    "x.reshape(3, 2)", "x.exp()", "x @ x.T", "x.max(0)", "x.sort()", "x.clone()", "x.double()",
    "t.cat([x, x])", "t.stack([x, x])", "x.pow(2)", "x / 2",
    "-x", "x.relu()", "x.sigmoid()", "x.var()", "x.std(0)", "x.cumsum(0)",
    "x.expand(2, 2, 3)", "x.permute(1, 0)", "x.transpose(0, 1)", "x.unsqueeze(0)", "x.squeeze()",
    "x[[0, 1]]", "x.softmax(0)", "x.log_softmax(1)", "x.clamp(0, 1)", "x.gather(1, i)", "x.prod()",
    "t.where(x > 0, x, 0.)", "x.flip(0)", "x.diagonal()", "x.tril()",
    "x.topk(2)", "x.detach()", "x.index_select(0, i[0])", "x.abs()",
    "x.repeat(2, 1)", 
    "x.square()", "x.argmax(0)", "x.min(1)",
])  # fmt: skip
def test_grad_fn(text):
    """The node's name, as PyTorch calls it."""
    printed = []
    for module in (gj, torch):
        x = module.tensor([[1.0, -2.0, 3.0], [0.5, 5.0, -6.0]], requires_grad=True)
        i = module.tensor([[0], [1]])
        shown = repr(eval(text, {"t": module, "x": x, "i": i}))
        printed.append(shown.replace("Backward1", "Backward0"))
    assert printed[0] == printed[1]


@pytest.mark.parametrize("options", [
    {"precision": 2}, {"precision": 8}, {"threshold": 5}, {"edgeitems": 1, "threshold": 5},
    {"linewidth": 40}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
    {"profile": "full"}, {"edgeitems": 0, "threshold": 5},
], ids=str)  # fmt: skip
def test_options(options):
    rng = np.random.default_rng(1)
    try:
        for module in (gj, torch):
            module.set_printoptions(**options)
        for shape in [(3,), (20,), (8, 9), (2, 3, 40)]:
            assert_prints_alike(rng.standard_normal(shape))
    finally:
        for module in (gj, torch):
            module.set_printoptions(profile="default")
