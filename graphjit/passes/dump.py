"""Writes a graph as a Python file that runs by itself, on random inputs."""

from __future__ import annotations

from pathlib import Path

from ..ir.graph import Graph
from ..ir.printer import dtype_names, to_text

_HEAD = '''"""{title}"""

from __future__ import annotations

from graphjit import dtypes
from graphjit.ops.core import ARRAYS as F
from graphjit.passes.dump import show

{dtypes}

'''
_FOOT = '''

if __name__ == "__main__":
    show(__file__, graph)
'''


def dump(graph: Graph, path: Path, title: str) -> None:
    """Write `graph` to `path`, whose folder is made where it does not exist."""
    shorts = sorted(dtype_names(graph))
    lines = "\n".join(f'{short} = dtypes.by_name("{short}")' for short in shorts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_HEAD.format(title=title, dtypes=lines) + "\n" + to_text(graph) + _FOOT)


def show(path: str, function: object) -> None:
    """Run `function`, the graph in the dump at `path`, on random inputs and print its results."""
    from ..ir.parse import parse
    from ..ops import OPS
    from .numbers import random_inputs

    graph = parse(Path(path).read_text(), OPS)
    assert callable(function)
    consts = {f"c{i}": array for i, array in enumerate(graph.consts.values())}
    print(function(*random_inputs(graph), **consts))
