"""Time the ten workloads for every installed peer: `python -m benchmarks.run --help`.

Each (workload, peer) has a process of its own. The results of its first five steps are checked
against PyTorch's; then the peers of a workload take turns, round by round, so that a slow spell of
the machine meets them all. Makes a JSON file and the markdown tables that the README shows.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import metadata
from pathlib import Path
from time import strftime
from typing import Any

from . import report
from .contest import REFERENCE, Plan, contest
from .peers import PEERS
from .workloads import WORKLOADS

PACKAGES = ("graphjit", "numpy", "numba", "torch", "jax")


def usable_cores() -> list[int]:
    """The numbers of the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_name() -> str:
    """The model name of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def version(package: str) -> str | None:
    """The installed version, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def header() -> dict[str, Any]:
    """Where and with what the numbers were taken."""
    return {
        "date": strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "cores": len(usable_cores()),
        "versions": {package: version(package) for package in PACKAGES},
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help="workloads")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--threads", nargs="+", choices=("1", "all"), default=("1", "all"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a round")
    parser.add_argument("--quick", action="store_true", help="two short rounds, nothing else")
    parser.add_argument("--json", type=Path, help="file for all the figures")
    parser.add_argument("--markdown", type=Path, help="file for the tables; else they are printed")
    parser.add_argument(
        "--update-readme",
        action="store_true",
        help="put the tables of --json into README.md, run nothing",
    )
    options = parser.parse_args(arguments)
    options.peers = options.peers.split(",")
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}")
    if options.update_readme and options.json is None:
        parser.error("--update-readme needs --json FILE")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures: `threads -> workload -> peer -> record`, under a header."""
    cores = usable_cores()
    names = [REFERENCE, *(peer for peer in options.peers if peer != REFERENCE)]
    rounds, seconds = (2, 0.05) if options.quick else (options.rounds, options.seconds)
    results: dict[str, Any] = {**header(), "peers": options.peers, "threads": {}}
    for threads in options.threads:
        chosen = tuple(cores[-1:] if threads == "1" else cores)
        table = results["threads"][str(len(chosen))] = {}
        for workload in options.only or WORKLOADS:
            extras = threads == "1" and not options.quick
            table[workload] = contest(Plan(workload, chosen, rounds, seconds, extras), names)
            print(report.line(workload, len(chosen), table[workload]), flush=True)
    return results


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.update_readme:
        report.update_readme(json.loads(options.json.read_text()))
        return
    results = measure(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    tables = report.tables(results)
    if options.markdown:
        options.markdown.write_text(tables)
    else:
        print(tables)


if __name__ == "__main__":
    main()
