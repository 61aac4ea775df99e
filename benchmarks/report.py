"""Markdown tables from the figures that `run` has measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"
TITLES = {
    "torch": "torch",
    "torch_compile": "torch.compile",
    "jax": "jax.jit",
    "graphjit": "graphjit",
    "graphjit_traced": "graphjit traced",
}
COMPILED = ("torch_compile", "jax", "graphjit_traced")
#: The start of an error's text and what a cell says for it; anything else is a crash.
FAILURES = {
    "wrong": "wrong",
    "ModuleNotFoundError": "not installed",
    "InvalidCxxCompiler": "no compiler",
}
Record = dict[str, Any]
Cell = Callable[[Record], str]


def failure(record: Record) -> str:
    """What to say in place of a figure."""
    error = record["error"]
    return next((text for start, text in FAILURES.items() if start in error), "crashed")


def microseconds(key: str) -> Cell:
    """A cell with `record[key]` in us."""
    return lambda record: f"{1e6 * record[key]:,.{0 if record[key] >= 1e-4 else 1}f}"


def seconds(*keys: str) -> Cell:
    """A cell with several times in s, two significant digits each."""
    return lambda record: " / ".join(two_digits(record[key]) for key in keys)


def two_digits(number: float) -> str:
    """`0.0123 -> 0.012`, `12.3 -> 12`."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}" if number >= 1e-3 else "<0.001"


def megabytes(key: str) -> Cell:
    """A cell with `record[key]` in MB."""
    return lambda record: f"{record[key]:,.0f}"


def table(workloads: dict[str, dict[str, Record]], peers: list[str], cell: Cell) -> str:
    """One row for each workload, one column for each peer."""
    rows = [["workload", *(TITLES[peer] for peer in peers)], ["---", *("--:" for _ in peers)]]
    for name, records in workloads.items():
        cells = (records[p] for p in peers)
        rows.append([name, *(failure(r) if "error" in r else cell(r) for r in cells)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def tables(results: dict[str, Any]) -> str:
    """All tables, each under a line that says what its figures are."""
    versions = ", ".join(f"{name} {v}" for name, v in results["versions"].items() if v)
    parts = [f"{results['cpu']}, {results['date']}; {versions}.\n"]
    peers = results["peers"]
    compiled = [peer for peer in peers if peer in COMPILED]
    for threads, workloads in results["threads"].items():
        noun = "thread" if threads == "1" else "threads"
        parts.append(f"Time per step, us, {threads} {noun}:\n")
        parts.append(table(workloads, peers, microseconds("step")))
    for workloads in results["threads"].values():
        records = [record for row in workloads.values() for record in row.values()]
        if compiled and any("half_batch" in record for record in records):
            parts += [
                "First call, s: cold cache / second process / first step at half the batch:\n",
                table(workloads, compiled, seconds("first_call", "warm_first_call", "half_batch")),
                "Peak memory above that of the imported package, MB:\n",
                table(workloads, peers, megabytes("memory")),
            ]
    if any(unchecked(row) for rows in results["threads"].values() for row in rows.values()):
        parts.append("Some results were not checked, because PyTorch did not run.\n")
    return "\n".join(parts)


def unchecked(records: dict[str, Record]) -> bool:
    """Whether the peers ran without PyTorch's results to compare theirs with."""
    return "torch" not in records or "error" in records["torch"]


def line(workload: str, threads: int, records: dict[str, Record]) -> str:
    """One workload's times and errors, for a person who watches."""
    cell = microseconds("step")
    cells = [
        f"{peer} {record['error'] if 'error' in record else cell(record)}"
        for peer, record in records.items()
    ]
    return f"{workload} ({threads}): " + " | ".join(cells)


def update_readme(results: dict[str, Any], readme: Path = README) -> None:
    """Replace what stands between the markers. ValueError where the README lacks them."""
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"{readme} lacks the markers {BEGIN.strip()} and {END.strip()}")
    readme.write_text(f"{before}{BEGIN}\n{tables(results)}\n{END}{after}")
