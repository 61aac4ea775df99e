"""An assembled graph computes what the interpreter computes, and updates its inputs in place."""

import numpy as np

from graphjit.codegen.assemble import assemble
from graphjit.ir.interp import interpret
from graphjit.ir.parse import parse
from graphjit.ops import OPS


def check(text, *, calls=2, seed=0, tolerance=1e-5):
    """Run both ways on random arrays; returns the assembled graph."""
    graph = parse(text, OPS)
    rng = np.random.default_rng(seed)
    arrays = [
        rng.standard_normal(v.shape).astype(v.dtype.numpy)
        if v.dtype.category == 2
        else rng.integers(0, 2, v.shape).astype(v.dtype.numpy)
        for v in graph.inputs
    ]
    steps = [tuple(s // a.itemsize for s in a.strides) for a in arrays]
    assembled = assemble(graph, steps)
    for _ in range(calls):
        outputs, updates = interpret(graph, [a.copy() for a in arrays])
        results = [np.full(v.shape, 9, v.dtype.numpy) for v in graph.outputs]
        assert assembled.run(*arrays, *results)
        for result, expected in zip(results, outputs, strict=True):
            np.testing.assert_allclose(result, expected, tolerance, tolerance)
        for (old, _), expected in zip(graph.updates, updates, strict=True):
            place = arrays[graph.inputs.index(old)]
            np.testing.assert_allclose(place, expected, tolerance, tolerance)
    return assembled


def names(assembled):
    return [instruction.name for instruction in assembled.program.instructions]


def test_views_cost_no_instruction():
    found = check(
        "def f(x: f32[4, 6]): a = permute(x, dims=(1, 0)); b = slice_(a, dim=0, start=1, stop=5, "
        "step=2); c = reshape(x, shape=(24,)); return exp(b), neg(c)"
    )
    assert len(names(found)) == 2


def test_a_reshape_that_strides_cannot_describe_is_a_copy():
    found = check(
        "def f(x: f32[4, 6]): a = permute(x, dims=(1, 0)); return exp(reshape(a, shape=(24,)))"
    )
    assert len(names(found)) == 2


def test_an_input_returned_or_viewed_is_copied():
    check("def f(x: f32[3, 2]): return x, permute(x, dims=(1, 0)), x")


def test_parts_of_a_concatenation_are_computed_in_their_place():
    found = check(
        "def f(x: f32[2, 3], y: f32[2, 4]): a = exp(x); b = neg(y); return concat(a, b, dim=1)"
    )
    assert len(names(found)) == 2


def test_a_concatenation_of_inputs_and_repeats():
    check("def f(x: f32[2, 3]): a = exp(x); return concat(a, x, a, x, dim=0), a")


def test_nested_concatenations():
    check(
        "def f(x: f32[2], y: f32[3]): a = exp(x); b = concat(a, y, dim=0); "
        "c = concat(b, x, dim=0); return c, neg(b)"
    )


def test_an_update_is_written_in_place():
    found = check(
        'def f(x: f32[5], g: f32[5]): a = mul(g, 0.1); b = sub(x, a); return (), {"x": b}'
    )
    assert len(names(found)) == 3  # the constant, the product, the difference


def test_an_old_value_read_after_its_update_is_kept():
    check(
        'def f(x: f32[5]): a = add(x, 1.0); b = mul(x, 2.0); c = exp(b); return (c, b), {"x": a}'
    )
    check('def f(x: f32[4, 4]): a = permute(x, dims=(1, 0)); b = add(x, a); return (), {"x": b}')
    check('def f(x: f32[4], y: f32[4]): return (), {"x": y, "y": x}')
    check('def f(x: f32[6]): a = slice_(x, dim=0, start=0, stop=3, step=1); b = '
          'slice_(x, dim=0, start=3, stop=6, step=1); c = concat(b, a, dim=0); '
          'return (a,), {"x": c}')


def test_an_update_by_a_product_of_itself():
    check('def f(x: f32[4, 4]): return (), {"x": matmul(x, x)}')


def test_scatter_into_a_computed_and_a_given_base():
    check(
        "def f(x: f32[6], y: f32[2]): a = exp(x); b = slice_scatter(a, y, dim=0, start=1, stop=5, "
        "step=2); return b, a"
    )
    check(
        "def f(x: f32[6], y: f32[2]): b = slice_scatter(x, y, dim=0, start=1, stop=5, step=2); "
        'return (), {"x": b}'
    )
    check(
        "def f(x: f32[6]): a = slice_(x, dim=0, start=0, stop=5, step=1); "
        'b = slice_scatter(x, a, dim=0, start=1, stop=6, step=1); return (), {"x": b}'
    )


def test_a_false_check_stops_before_anything_is_written():
    text = (
        "def f(x: f32[3], i: i64[3]): a = lt(i, 1); ok = all(a, dims=(0,)); b = add(x, 1.0); "
        'return (), {"x": b}, (ok,)'
    )
    graph = parse(text, OPS)
    assembled = assemble(graph, [(1,), (1,)])
    x, good, bad = np.zeros(3, np.float32), np.zeros(3, np.int64), np.array([0, 2, 0])
    assert not assembled.run(x, bad)
    assert x.tolist() == [0, 0, 0]
    assert assembled.run(x, good)
    assert x.tolist() == [1, 1, 1]


def test_an_op_without_a_kernel_runs_on_the_host(monkeypatch):
    monkeypatch.setenv("GRAPHJIT_STRICT", "0")
    found = check("def f(x: f32[3, 4]): a = exp(x); b = cumsum(a, dim=1); return neg(b)")
    assert [fallback.node.op.name for fallback in found.fallbacks] == ["cumsum"]


def test_empty_tensors_and_scalars():
    check("def f(x: f32[0, 3], y: f32[()]): return exp(x), mul(y, 2.0), sum(x, dims=(0,))")


def test_memory_is_reused():
    chain = "; ".join(f"m{i + 1} = tanh(matmul(m{i}, x))" for i in range(6))
    found = check(f"def f(x: f32[32, 32], m0: f32[32, 32]): {chain}; return m6", tolerance=1e-3)
    assert found.program.memory.arena <= 2 * 32 * 32 * 4
