"""Graphs have one name in all processes; graphs that compute or tell something else have others."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from graphjit.errors import Location
from graphjit.ir.fingerprint import Nameless, fingerprint
from graphjit.ir.graph import Value
from graphjit.ir.parse import parse
from graphjit.ops import OPS

TEXT = "def f(x: f32[4, 6], y: f32[6]): a = mul(x, y); b = sum(a, dims=(1,)); return a, b"
OTHERS = {
    "a shape": TEXT.replace("[4, 6]", "[5, 6]"),
    "a dtype": TEXT.replace("f32", "f64"),
    "an op": TEXT.replace("mul", "add"),
    "operands": TEXT.replace("mul(x, y)", "mul(y, x)"),
    "an attribute": TEXT.replace("(1,)", "(0,)"),
    "outputs": TEXT.replace("return a, b", "return b, a"),
    "another node": TEXT.replace("return", "c = neg(a); return"),
    "an update": TEXT.replace("return a, b", 'return (b,), {"x": a}'),
}


def named(text):
    return fingerprint(parse(text, OPS))


def test_names_of_values_do_not_count():
    assert named(TEXT) == named(TEXT.replace("a", "q").replace("mql", "mul"))


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_other_graphs_have_other_names(text):
    assert named(text) != named(TEXT)


def test_equal_numbers_that_compute_something_else_are_told_apart():
    """Python holds 0.0 and -0.0, and 1, 1.0 and True, to be equal."""
    numbers = ("0.0", "-0.0", "0", "False", "1", "1.0", "True")
    text = "def f(x: f32[2]): c = constant(dtype=f32, value={}); return mul(x, c)"
    assert len({named(text.format(number)) for number in numbers}) == len(numbers)


def test_a_check_and_a_line_of_the_user_count():
    graph = parse("def f(x: f32[2], y: bool[()]): return neg(x)", OPS)
    at = [
        replace(graph, nodes=tuple(replace(node, loc=loc) for node in graph.nodes))
        for loc in (Location("a.py", 1, "f"), Location("a.py", 2, "f"), Location("b.py", 1, "f"))
    ]
    checked = replace(graph, checks=(graph.inputs[1],))
    assert len(set(map(fingerprint, (graph, checked, *at)))) == 5


def test_the_name_is_the_same_in_another_process():
    program = f"import sys; sys.path[:0] = {sys.path!r}\n" + (
        "from graphjit.ir.fingerprint import fingerprint\nfrom graphjit.ir.parse import parse\n"
        f"from graphjit.ops import OPS\nprint(fingerprint(parse({TEXT!r}, OPS)))"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    assert told.stdout.decode().strip() == named(TEXT)


def test_what_only_this_process_knows_has_no_name():
    graph = parse(TEXT, OPS)
    first, *rest = graph.nodes
    held = replace(graph, nodes=(replace(first, attrs=(("held", object()),)), *rest))
    constant = replace(graph, consts={Value(graph.inputs[0].spec): np.zeros((4, 6))})
    for nameless in (held, constant):
        with pytest.raises(Nameless):
            fingerprint(nameless)
