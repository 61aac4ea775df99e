"""Gathers what the catalogue of traps (`tests/footguns`) guarantees, into `guarantees.md`.

`python docs/guarantees.py` rewrites the page, `--check` only tells whether it is up to date.
"""

import ast
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tests" / "footguns"
PAGE = Path(__file__).with_name("guarantees.md")
HEAD = """# What a traced function guarantees

A function under `@graphjit.trace` returns, and leaves behind, what the same Python would have done
eagerly; or it runs eagerly, and says why in one warning and in `explain()`. This page lists what
that covers, the most dangerous traps first. Each line is a test in `tests/footguns`, which calls a
function ten times or more with changes in between, eagerly and traced, and compares the results and
all that Python can see: tensors and their memory, gradients, parameters, buffers, optimizer state,
the generator, Python objects, exceptions. Regenerate with `python docs/guarantees.py`.

Floating-point results are the same up to rounding. Kernels contract products and sums into fused
multiply-adds, sum in an order of their own (the same for any number of threads), have elementary
functions of their own (`tests/codegen/test_vecmath.py` states by how many units in the last place
each may be off), and take denormal numbers for zero. So where two numbers are equal but for
rounding, a comparison may come out differently, and `.item()` may differ in the last digit.
"""


def ranked():
    """The test modules, as syntax trees, in the order of `RANKED`."""
    package = ast.parse((FOLDER / "__init__.py").read_text())
    (names,) = (
        ast.literal_eval(node.value) for node in package.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "RANKED"
    )  # fmt: skip
    return [ast.parse((FOLDER / f"test_{name}.py").read_text()) for name in names]


def traps(module):
    """The tests of a module."""
    return [
        node for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]  # fmt: skip


def is_gap(trap):
    """Whether a test is known to fail."""
    return any(".xfail" in ast.unparse(decorator) for decorator in trap.decorator_list)


def sentence(trap):
    """What a test guarantees, as an item of a list."""
    return "- " + " ".join(ast.get_docstring(trap).split())


def section(module):
    """A heading, what it is about, and the guarantees."""
    title, _, about = ast.get_docstring(module).partition("\n\n")
    held = [sentence(trap) for trap in traps(module) if not is_gap(trap)]
    return f"## {title}\n\n{about}\n\n" + "\n".join(held) + "\n"


def page():
    """The page as the tests of today make it."""
    modules = ranked()
    gaps = [sentence(trap) for module in modules for trap in traps(module) if is_gap(trap)]
    missing = ["## Not yet\n\n" + "\n".join(gaps) + "\n"] if gaps else []
    return "\n".join([HEAD, *map(section, modules), *missing])


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit(0 if text == PAGE.read_text() else "docs/guarantees.md is out of date")
    PAGE.write_text(text)
