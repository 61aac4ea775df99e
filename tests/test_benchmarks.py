"""The benchmark's own honesty: wrong, broken and absent peers are told from measured ones."""

import json
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import pytest

from benchmarks import report, roofline, startup
from benchmarks.contest import TOLERANCE, Contender, Plan, largest_difference
from graphjit import float32
from graphjit.frontend.profile import Profile
from graphjit.runtime.instruction import Cost, Instruction
from graphjit.runtime.machine import Limits
from graphjit.runtime.program import Timing

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


def test_a_step_is_compared_with_what_the_machine_can_do():
    limits = Limits(copy=1e9, float32=1e10, float64=5e9)
    costs = {"copied": Cost(2000, 10, float32), "multiplied": Cost(400, 8000, float32)}
    timings = [
        Timing(Instruction(name, 0, (), cost=cost), 1e-6 * seconds)
        for seconds, (name, cost) in zip((4, 2), costs.items(), strict=True)
    ]
    row = roofline.cells("step", 7e-6, Profile("step", timings, limits))
    assert row[:5] == ("step", "7.0", "2.8", "40%", "71%")
    assert row[5] == "`copied` 67%, 50% of its limit, `multiplied` 33%, 40% of its limit"
    header, _, line = roofline.table([row]).splitlines()
    assert line.count("|") == header.count("|")


def test_the_machine_is_asked_for_its_limits():
    seconds, profile = roofline.measured("regress")
    assert seconds > 0 and profile.limits.copy > 0 and profile.seconds > 0


def test_of_several_start_ups_the_smallest_figures_count():
    records = [{"a": 1.0, "b": 4}, {"a": 2.0, "b": 3}]
    assert startup.smallest(records) == {"a": 1.0, "b": 3}
