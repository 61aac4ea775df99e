"""Names that keep their value have no variable; all others do, whatever control flow there is."""

import ast
import textwrap

import pytest
from test_language import agrees

from graphjit.errors import CompileError
from graphjit.runtime.kernels.tiles import tile
from graphjit.runtime.language import emit, f32, i64, inline, vector
from graphjit.runtime.language.build import compile_kernel, parsed
from graphjit.runtime.language.instructions import vector_storer
from graphjit.runtime.language.names import fixed_names

CASES = {
    "uses behind the assignment": ("x = a\ny = x + x\nreturn y", "x y"),
    "a use before it": ("if a:\n    b = x\nx = a\nreturn x", ""),
    "assigned twice": ("x = a\nx = b\nreturn x", ""),
    "assigned in passing": ("x = a\nx += b\nreturn x", ""),
    "an operand of its own": ("x = x + a\nreturn x", ""),
    "a parameter": ("a = b\nreturn a", ""),
    "an element assigned": ("x = [a, b]\nx[0] = b\ny = [a]\nreturn x[0] + y[0]", "y"),
    "a tuple of targets": ("x, (y, z) = a\nreturn x + y + z", "x y z"),
    "the turn of a loop": ("for i in range(a):\n    x = i\n    b += x\nreturn b", "i x"),
    "the turn before": ("x = 0\nfor i in range(a):\n    b += x\n    x = i\nreturn b", "i"),
    "behind a loop": ("for i in range(a):\n    x = i\nreturn x + i", ""),
    "the condition of a loop": ("while x:\n    x = a\n    y = b\n    b = y\nreturn b", "y"),
    "behind a branch": ("if a:\n    x = a\nreturn x", ""),
    "inside a branch": ("if a:\n    x = a\n    return x\nelse:\n    y = b\n    return y", "x y"),
    "inside what stands behind": ("x = a\nwhile b:\n    if x:\n        b -= x\nreturn b", "x"),
    "nobody asks": ("x = a\nreturn b", "x"),
    "also the name in a comprehension": ("x = a\ny = [x for x in b]\nreturn y", "y"),
}


def tree_of(body):
    text = f"def kernel(a, b):\n{textwrap.indent(body, '    ')}"
    (tree,) = ast.parse(text).body
    return tree


@pytest.mark.parametrize("case", CASES)
def test_which_names_keep_their_value(case):
    body, expected = CASES[case]
    tree = tree_of(body)
    assigned = parsed(tree, {}).assigned
    assert fixed_names(tree) & assigned == set(expected.split())


@inline
def half(x):
    rest = x % 2
    return (x - rest) // 2


@inline
def first_above(x, low):
    while x <= low:
        x += 3
        if x > 100:
            return -1
    return x


def loops(x, y, z):
    total, last = 0, x
    for i in range(z):
        step = half(i) + last
        if step > y:
            last = step - y
        elif step == 3:
            continue
        total += step * first_above(step, y)
    return total + last


def swaps(x, y, z):
    pair = (x, y)
    while z > 0:
        one, two = pair
        pair = (two + z, one)
        z -= 1
    first, second = pair
    return first - 2 * second


@pytest.mark.parametrize("function", [loops, swaps])
def test_values_in_loops_are_those_of_python(function):
    agrees(function, [(x, y, z) for x in (-3, 0, 4) for y in (-2, 1, 6) for z in (-1, 0, 1, 7)])


@pytest.fixture
def texts(monkeypatch):
    """What is given to LLVM, and not compiled."""
    given = []
    monkeypatch.setattr(
        "graphjit.runtime.language.build.machine_code",
        lambda text, level: given.append(text) or b"",
    )
    return given


def test_straight_code_has_no_variables_and_no_blocks(texts):
    """Each inlined call had a block of its own and a variable for its result."""

    def straight(x, y, z):
        a = half(x)
        b, c = half(a + y), a * z
        return b - c

    compile_kernel(straight, i64)
    assert "alloca" not in texts[0]
    assert texts[0].count("br label") == 1  # from where variables would be to the code


def test_functions_of_one_code_are_read_once():
    """A factory's functions were parsed anew for each of them: half of the time of emission."""
    def made(number):
        @inline
        def add(x):
            return x + number

        return add

    sources = [emit.read(made(number)) for number in (1, 2)]
    assert sources[0].tree is sources[1].tree
    assert [source.outer["number"] for source in sources] == [1, 2]


def test_a_function_without_a_file_is_refused():
    namespace = {}
    exec("def kernel(x, y, z):\n    return x", namespace)
    with pytest.raises(CompileError, match="no source of kernel"):
        compile_kernel(namespace["kernel"], i64)


def test_a_number_in_every_lane_is_a_constant(texts):
    """It was put together by instructions, for LLVM to take apart."""
    kind = vector(f32, 4)
    store = vector_storer(kind)

    def constants(table, begin, end):
        store(table, begin, kind(1.5))

    compile_kernel(constants)
    assert "insertelement" not in texts[0]
    assert texts[0].count("0x3ff8000000000000") == 4


def test_tiles_of_whole_vectors_have_no_masks(texts):
    """All loads and stores of all tiles were masked ones, with masks that keep every lane."""
    whole, narrow = tile(f32, 2, 2, 1), tile(f32, 2, 1, 1, narrow=True)

    def of_whole(table, begin, end):
        whole(table, end, 1, table, end, table, end, end, 2, end, begin)

    def of_few(table, begin, end):
        narrow(table, end, 1, table, end, table, end, end, 2, end, begin)

    compile_kernel(of_whole)
    compile_kernel(of_few)
    assert ["masked" in text for text in texts] == [False, True]
