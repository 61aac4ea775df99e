"""The documentation shows what the program prints."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_example_in_the_architecture_page_is_up_to_date():
    command = [sys.executable, ROOT / "docs" / "example.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
