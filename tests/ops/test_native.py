"""Elementary functions of large arrays in eager code, which compiled loops compute."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import special

import graphjit as gj
from graphjit import config
from graphjit.codegen.vecmath.bounds import ULP
from graphjit.errors import CompileError
from graphjit.ops import native
from graphjit.ops.core import ARRAYS

FUNCTIONS = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": lambda x: special.erf(x.astype(np.float64)).astype(x.dtype),
}  # fmt: skip
DTYPES = ["float32", "float64"]
ENDS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 5e-324, 1e38, -1e300]


@pytest.fixture
def used(monkeypatch):
    """The functions that are to be compiled, their attributes, and whether they are."""
    asked = []
    compiler = native._compilers[0]

    def noted(function, attrs, *others):
        loop = compiler(function, attrs, *others)
        asked.append((function, attrs, loop is not None))
        return loop

    monkeypatch.setattr(native, "_compilers", [noted])
    return asked


def arguments(dtype):
    """Many scales, both signs, arguments whose exponentials are tiny, and special values."""
    rng = np.random.default_rng(0)
    parts = [rng.uniform(-scale, scale, 4000) for scale in (0.1, 1, 10, 200, 1000)]
    return np.concatenate([*parts, ENDS]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_accuracy(used, name, dtype):
    """As exact as in compiled code; denormal numbers are no less exact, as in PyTorch."""
    x = arguments(dtype)
    exact = FUNCTIONS[name](x.astype(np.longdouble))
    found = getattr(gj, name)(gj.from_numpy(x)).numpy()
    assert used == [(native._op(name), (), True)] and found.dtype == dtype
    rounded = exact.astype(dtype)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(np.signbit(found[finite]), np.signbit(rounded[finite]))
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    error = np.abs(found[finite] - exact[finite]) / unit
    if name == "sigmoid":  # by the exponential of -x, which overflows, as in PyTorch
        error = error[rounded[finite] >= np.finfo(dtype).smallest_normal]
    assert error.max() <= max(ULP[name]) + 2  # SciPy's own error, where the reference is erf


COMPOSITES = [
    "F.gelu(x)", "F.gelu(x, approximate='tanh')", "F.silu(x)", "F.leaky_relu(x, 0.2)", "F.elu(x)",
    "F.selu(x)", "F.celu(x, 0.7)", "F.softplus(x)", "F.softplus(x, 2, 3)", "F.logsigmoid(x)",
    "F.mish(x)", "F.hardsigmoid(x)", "F.hardswish(x)", "F.hardtanh(x)", "F.relu6(x)", "F.relu(x)",
    "x.clamp(-0.5, 1.5)", "x.clamp(min=0.1)", "x.clamp(max=0.1)", "x.sign()",
    "F.softmax(x, -1)", "F.log_softmax(x, -1)", "F.layer_norm(x, (40,), w, w)",
    "F.layer_norm(x, (40,))", "F.layer_norm(x, (20, 40))", "F.softmax(x.view(800, 1, 20), 2)",
    "x ** w", "(x.abs() + 1) ** 2.5", "3 ** x", "x.abs() ** x", "t.atan2(x, y)", "x % y", "x % 0.7",
    "t.fmod(x, y)", "t.fmod(x, -0.7)", "x // 0.7", "2.5 // x", "x // y",
]  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("text", COMPOSITES)
def test_fused_functions_against_torch(used, text):
    """Values and gradients of whole formulas that one loop computes."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-3, 3, (2, 20, 20, 40))
    x[0, 0, :4] = np.nan, np.inf, -np.inf, -0.0
    known = ~np.isnan(x)  # PyTorch has no rule for gradients where there is no number
    w = rng.uniform(0.5, 2, 40)
    found = []
    for t, functional in ((gj, gj.nn.functional), (torch, torch.nn.functional)):
        leaf = t.from_numpy(x.copy()).requires_grad_()
        space = {"t": t, "F": functional, "x": leaf, "y": t.from_numpy(y), "w": t.from_numpy(w)}
        value = eval(text, space)
        total = (value * space["y"].view(value.shape)).sum()
        gradient = total if "//" in text else t.autograd.grad(total, leaf)[0][known]
        found.append((value, gradient))
    assert any(compiled for *_, compiled in used) or text == "x ** w"
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-7, 1e-13)


DRAWS = {
    "rand": lambda dtype: gj.rand(101, 100, dtype=dtype),
    "randn": lambda dtype: gj.randn(101, 100, dtype=dtype),
    "randint": lambda dtype: gj.randint(-7, 30, (10_001,)).to(dtype),
    "large integers": lambda dtype: gj.randint(-(2**61), 2**62, (9000,)),
    "randperm": lambda dtype: gj.randperm(9001),
    "dropout": lambda dtype: gj.nn.functional.dropout(gj.ones(101, 100, dtype=dtype), 0.3),
}


@pytest.mark.parametrize("dtype", [gj.float16, gj.float32, gj.float64], ids=str)
@pytest.mark.parametrize("draw", DRAWS)
def test_random_numbers_are_those_of_numpy(monkeypatch, used, draw, dtype):
    """Bit by bit, float64 normals but for log and cos, and the generator moves on as far."""
    found = []
    for disabled in (False, True):
        monkeypatch.setitem(config._overrides, "DISABLE", disabled)
        gj.manual_seed(3)
        found.append([DRAWS[draw](dtype).numpy(), DRAWS[draw](dtype).numpy()])
        found[-1].append(gj.get_rng_state().numpy())
        if not disabled and (draw, dtype) != ("dropout", gj.float16):
            assert all(compiled for *_, compiled in used) and used
    tolerance = 1e-13 if (draw, dtype) == ("randn", gj.float64) else 0
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [gj.float16, gj.float32, gj.float64], ids=str)
@pytest.mark.parametrize("n", [1, 1000, 20_000])
def test_normals_are_those_of_replays(dtype, n):
    """float64 ones differed in the last bit, some float16 ones as well."""
    step = gj.trace(lambda: gj.randn(n, dtype=dtype))
    found = []
    for draw in (step, step, step, lambda: gj.randn(n, dtype=dtype)):
        gj.manual_seed(5)
        found.append(draw().tolist())
    assert found[0] == found[1] == found[2] == found[3] and step.stats()["replays"] == 2


def test_numbers_are_no_part_of_a_loop(used):
    """A bound or an exponent may change at every call."""
    from graphjit.codegen.native import _loop

    x = gj.linspace(-1, 1, 10_000)
    before = _loop.cache_info().misses
    for k in range(1, 20):
        x.clamp(-1 / k, 1 / k), x % (k / 7.1), x.abs() ** (1 + k / 7.1)
    assert len(used) == 3 * 19 and _loop.cache_info().misses <= before + 3


def test_rows_are_no_part_of_a_loop(used):
    """A smaller last batch needs nothing new; other columns do."""
    from graphjit.codegen.native import _loop

    gj.ones(300, 64).softmax(-1)
    before = _loop.cache_info().misses
    for rows in (1000, 128, 517):
        gj.ones(rows, 64).softmax(-1)
    assert len(used) == 4 and _loop.cache_info().misses == before


def test_negative_zero_is_another_attribute():
    """0.0 equals -0.0, but a loop made for one of them is not one for the other."""
    x = -gj.ones(10_000)
    for slope, sign in ((0.0, True), (-0.0, False), (0.0, True)):
        value = gj.nn.functional.leaky_relu(x, slope)
        assert value.signbit().all().item() is sign


@pytest.mark.parametrize(
    "view",
    [lambda x: x.T, lambda x: x[::2], lambda x: x[:, ::-1], lambda x: x.T[1:, 2:]],
)
def test_any_strides(used, view):
    """Every element has the value that it has elsewhere; dense arrays keep their strides."""
    x = np.linspace(-3, 3, 40_000, dtype=np.float32).reshape(200, 200)
    whole, part = ARRAYS.tanh(x), ARRAYS.tanh(view(x))
    assert len(used) == 2
    np.testing.assert_array_equal(part, view(whole))
    assert ARRAYS.tanh(x.T).strides == x.T.strides


def test_unaligned_memory():
    """Bytes from a file need not start where numbers may."""
    memory = np.zeros(4 * 10_000 + 1, np.uint8)
    x = memory[1:].view(np.float32)
    x[:] = np.linspace(-1, 1, 10_000)
    np.testing.assert_array_equal(ARRAYS.erf(x), ARRAYS.erf(x.copy()))


def test_small_arrays_and_other_types_need_no_compiler(used):
    """NumPy is as fast there."""
    for x in (np.ones(native.LARGE - 1, np.float32), np.ones(native.LARGE, np.float16)):
        gj.exp(gj.from_numpy(x))
    assert not used


def test_disabled(monkeypatch):
    """`GRAPHJIT_DISABLE` compiles nothing, here as elsewhere."""
    monkeypatch.setitem(config._overrides, "DISABLE", True)
    x = np.linspace(-3, 3, 10_000, dtype=np.float32)
    np.testing.assert_array_equal(ARRAYS.exp(x), np.exp(x))


def test_what_is_compiled_can_be_told(monkeypatch, capfd):
    """`GRAPHJIT_DEBUG=1` says so, once."""
    monkeypatch.setitem(config._overrides, "DEBUG", 1)
    for _ in range(2):
        gj.ones(77, 777).softmax(-1)
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1 and "exp" in told[0] and told[0].endswith("computes large arrays")


def test_a_loop_that_cannot_be_compiled(monkeypatch):
    """NumPy computes then, and nobody is told."""
    from graphjit.codegen import native as compiler

    def fail(*arguments):
        raise CompileError("no")

    compiler._loop.cache_clear()
    monkeypatch.setattr(compiler, "_planned", fail)
    x = np.linspace(-3, 3, 10_000, dtype=np.float32)
    np.testing.assert_array_equal(ARRAYS.sin(x), np.sin(x))
    compiler._loop.cache_clear()


def test_threads():
    """One loop may run for several threads at once."""
    xs = [np.full(100_000, k, np.float64) for k in range(8)]
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = ARRAYS.exp(xs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, result in enumerate(found):
        np.testing.assert_allclose(result, np.exp(xs[k]), rtol=1e-15)


def test_importing_loads_no_compiler():
    """Nor do small tensors."""
    program = (
        "import sys, graphjit as gj; gj.ones(100).exp()\n"
        "assert not [name for name in sys.modules if name.startswith(('graphjit.codegen', 'llvm'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("read", ["h", "c", "h * c"])
def test_lstm_cell(monkeypatch, used, read):
    """States and gradients with one loop each way, whichever state has a gradient."""
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((70, columns)) for columns in (7, 40, 40)]
    cell = gj.nn.LSTMCell(7, 40, dtype=gj.float64)
    found = []
    for disabled in (False, True):
        monkeypatch.setitem(config._overrides, "DISABLE", disabled)
        x, h, c = (gj.from_numpy(a).requires_grad_() for a in arrays)
        state = cell(x, (h, c))
        total = eval(read, dict(zip("hc", state))).sin().sum()
        found.append([*state, *gj.autograd.grad(total, [x, h, c, *cell.parameters()])])
        if not disabled:
            assert [compiled for *_, compiled in used] == [True, read != "c"]
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), 1e-10, 1e-11)


WINDOWS = [
    "F.conv2d(x, w)", "F.conv2d(x, w, w[:, 0, 0, 0], padding=2)", "F.conv2d(x, w, stride=(2, 1))",
    "F.conv2d(x, w, dilation=(1, 2))", "F.conv2d(x, w[:, :2], groups=3)",
    "F.conv2d(x[:, :, ::2].transpose(2, 3), w)", "F.conv2d(x[:, :1].expand(-1, 6, -1, -1), w)",
    "F.conv_transpose2d(x, w.transpose(0, 1))", "F.max_pool2d(x, 2)", "F.max_pool2d(x, 3, 2, 1)",
    "F.max_pool2d(x.transpose(2, 3), (2, 3), 1)", "F.max_pool2d(x, 2, ceil_mode=True)",
    "F.max_pool2d(x[0], 2)", "F.conv1d(x.flatten(2), w[..., 0])",
]  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """The library kernels that are asked for, and whether there are such."""
    library, asked = native._libraries[0], []

    def noted(name, *operands):
        result = library(name, *operands)
        asked.append((name, result is not None))
        return result

    monkeypatch.setattr(native, "_libraries", [noted])
    return asked


@pytest.mark.parametrize("text", WINDOWS)
def test_convolution_and_pooling(monkeypatch, asked, text):
    """Values and both gradients are those of NumPy's matrix products."""
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((4, 6, 61, 31)), rng.standard_normal((6, 6, 3, 3))
    found = []
    for disabled in (False, True):
        monkeypatch.setitem(config._overrides, "DISABLE", disabled)
        leaves = [gj.from_numpy(a).requires_grad_() for a in (x, w)]
        value = eval(text, {"F": gj.nn.functional, "x": leaves[0], "w": leaves[1]})
        gradients = gj.autograd.grad(value.sin().sum(), leaves, allow_unused=True)
        found.append([value, *(g for g in gradients if g is not None)])
        if not disabled:
            assert len(asked) >= 1 + ("x[0]" not in text) and all(is_there for _, is_there in asked)
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), 1e-9, 1e-10)


PRODUCTS = [
    "x[0, 0] @ w", "x[0, 0].t().contiguous().t() @ w", "x @ w", "x[0] @ x[1].mT", "x[:, :1] @ x.mT",
    "F.linear(x, w.t(), w[0])", "F.linear(x[0, 0], w.t())", "gj.bmm(x[0], x[1].mT)",
    "x.transpose(0, 1)[..., ::2] @ w[::2]", "x[0, 0].mm(w)",
]  # fmt: skip


@pytest.mark.parametrize("text", PRODUCTS)
def test_products_that_are_shared(monkeypatch, asked, text):
    """With two threads, those of the library; values and gradients are those of BLAS."""
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 3, 130, 140)), rng.standard_normal((140, 150))
    found = []
    for threads in (2, 1):
        monkeypatch.setitem(config._overrides, "NUM_THREADS", threads)
        leaves = [gj.from_numpy(a).requires_grad_() for a in (x, w)]
        value = eval(text, {"F": gj.nn.functional, "x": leaves[0], "w": leaves[1], "gj": gj})
        gradients = gj.autograd.grad(value.sin().sum(), leaves, allow_unused=True)
        found.append([value, *(g for g in gradients if g is not None)])
        assert asked and all(shared is (threads == 2) for _, shared in asked)
        asked.clear()
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), 1e-9, 1e-10)


@pytest.mark.parametrize("text", [
    "F.conv2d(x, w[:, :2])", "F.conv2d(x, w.double())", "F.conv2d(x, w, padding=-1)",
    "F.conv2d(x, w, stride=0)", "F.conv2d(x, w, groups=4)", "F.max_pool2d(x, 2, padding=2)",
    "F.max_pool2d(x, 90)", "F.conv2d(x, w.new_zeros(6, 6, 99, 99))",
])  # fmt: skip
def test_errors_of_convolution_and_pooling(monkeypatch, text):
    """Of one class and wording, however large the arrays are."""
    space = {"F": gj.nn.functional, "x": gj.ones(2, 6, 61, 31), "w": gj.ones(6, 6, 3, 3)}
    errors = []
    for disabled in (False, True):
        monkeypatch.setitem(config._overrides, "DISABLE", disabled)
        with pytest.raises(Exception) as error:
            eval(text, space)
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1] and errors[0][0] is not AssertionError


def test_library_kernels_in_threads(asked):
    """A program serves one thread at a time; each has its own results."""
    x = np.ones((4, 3, 40, 40), np.float32)
    w = np.ones((8, 3, 3, 3), np.float32)
    attrs = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = ARRAYS.conv2d(x * np.float32(k), w, **attrs)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [("conv2d", True)] * 160
    for k, result in enumerate(found):
        assert (result == 27 * k).all()
