"""What the package asks of a machine: its dependencies, and what importing it loads."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = {"cupy", "cupyx"}


def imported_packages(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_every_imported_package_is_declared():
    declared = {re.split(r"[<>=!~; \[]", line)[0] for line in PROJECT["dependencies"]}
    imported = {name for file in ROOT.glob("graphjit/**/*.py") for name in imported_packages(file)}
    assert imported - set(sys.stdlib_module_names) - {"graphjit"} <= declared | OPTIONAL


def test_import_loads_no_compiler():
    """Numba, llvmlite and SciPy take longer to load than an eager script takes to run.

    NumPy's generators and multiprocessing, which data loaders need, take a third of the rest.
    """
    heavy = (
        "{'numba', 'llvmlite', 'scipy', 'cupy', 'matplotlib', 'torch', 'numpy.random', "
        "'multiprocessing'}"
    )
    code = f"import graphjit, sys; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split() == []
