"""The documentation shows what the program prints."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("script", ["example.py", "guarantees.py"])
def test_pages_made_by_a_script_are_up_to_date(script):
    command = [sys.executable, ROOT / "docs" / script, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
