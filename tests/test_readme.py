"""The README: its code runs, its knobs and files exist, its figures are the ones last measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from graphjit import config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_block_runs(number, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number])
    subprocess.run([sys.executable, script], check=True, cwd=ROOT, capture_output=True)


def test_the_decorator_is_all_that_changes():
    before, after = BLOCKS[:2]
    added = set(after.splitlines()) - set(before.splitlines())
    assert added == {"@graphjit.trace", "print(step.explain())"}


def test_every_knob_named_exists():
    known = {"GRAPHJIT_" + knob.name for knob in config.KNOBS}
    assert set(re.findall(r"GRAPHJIT_[A-Z_]+", README)) <= known


def test_every_file_linked_exists():
    targets = re.findall(r"\]\(([^):]+)\)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_benchmark_tables_are_those_of_the_last_run(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(README)
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    report.update_readme(results, copy)
    assert copy.read_text() == README
