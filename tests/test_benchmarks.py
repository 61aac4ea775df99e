"""The benchmark's own honesty: wrong, broken and absent peers are told from measured ones."""

import json
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import pytest

from benchmarks import report, startup
from benchmarks.contest import TOLERANCE, Contender, Plan, largest_difference

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("bad", [nan, inf, 1.01])
def test_difference_finds_a_bad_element_anywhere(bad):
    reference = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert largest_difference(reference, reference) == 0
    for place in range(3):
        values = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        values[1][place] = bad
        assert not largest_difference(values, reference) <= TOLERANCE


def test_difference_near_zero_is_relative_to_the_mean():
    assert largest_difference([[1e-9, 2.0]], [[0.0, 2.0]]) == pytest.approx(1e-9)


class Puppet:
    """Answers as a worker does."""

    def ask(self, command):
        return {"values": [[1.0, 2.0]], "first_call": 0.1, "step": 2e-4}

    def close(self):
        pass


def test_wrong_peer_is_reported_and_never_timed(monkeypatch):
    monkeypatch.setattr("benchmarks.contest.Worker", lambda *arguments: Puppet())
    contender = Contender("jax", Plan("regress", (0,), 1, 0.1, False), "")
    contender.attempt(contender.start, [[1.0, 2.1]])
    contender.attempt(contender.round)
    assert list(contender.record) == ["error"]
    assert report.failure(contender.record) == "wrong"


@pytest.mark.parametrize(
    "error, cell",
    [
        ("ModuleNotFoundError: No module named 'jax'", "not installed"),
        ("torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++", "no compiler"),
        ("signal 11: no message", "crashed"),
    ],
)
def test_table_says_why_there_is_no_figure(error, cell):
    rows = {"regress": {"torch": {"step": 1.2345}, "jax": {"error": error}}}
    table = report.table(rows, ["torch", "jax"], report.microseconds("step"))
    assert table.splitlines()[-1] == f"| regress | 1,234,500 | {cell} |"


@pytest.mark.slow
def test_run_measures_graphjit(tmp_path):
    options = ["--quick", "--only", "regress", "--peers", "graphjit,graphjit_traced"]
    command = [sys.executable, "-m", "benchmarks.run", *options, "--threads", "1"]
    figures = tmp_path / "figures.json"
    subprocess.run([*command, "--json", figures], check=True, capture_output=True, cwd=ROOT)
    [rows] = json.loads(figures.read_text())["threads"].values()
    assert rows["regress"]["graphjit_traced"]["step"] > 0


def test_start_up_is_measured_in_a_process_that_has_to_compile_and_in_one_that_has_not():
    record = startup.measured("regress")
    assert record["first.step_compiled"] > 0
    assert record["second.step_compiled"] == record["second.half_compiled"] == 0
    for process in startup.IMPORTS:
        for call in ("step", "half"):
            assert 0 < record[f"{process}.{call}_plan"] <= record[f"{process}.{call}"]
    header, _, row = startup.table([{"workload": "regress", **record}]).splitlines()
    assert row.count("|") == header.count("|") == len(startup.COLUMNS) + 1


def test_of_several_start_ups_the_smallest_figures_count():
    records = [{"a": 1.0, "b": 4}, {"a": 2.0, "b": 3}]
    assert startup.smallest(records) == {"a": 1.0, "b": 3}
