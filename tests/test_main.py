"""`python -m graphjit cache`: what the user can do with the files of compiled kernels."""

import os
import subprocess
import sys

import pytest

from graphjit import __main__ as command
from graphjit import config
from graphjit.runtime import store

NAMES = [f"{number:040x}.kernel" for number in range(3)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of three files, used at different times."""
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path))
    for day, name in enumerate(NAMES, 1):
        store.write(name, bytes(1000))
        os.utime(tmp_path / "kernels" / name, (86_400 * day, 86_400 * day))
    return tmp_path / "kernels"


def run(capsys, *arguments):
    """The status, and the words printed."""
    status = command.main(["cache", *arguments])
    return status, capsys.readouterr().out.split()


def test_info(folder, capsys, monkeypatch):
    monkeypatch.setitem(config._overrides, "CACHE_SIZE", 3)
    size = sum(path.stat().st_size for path in folder.iterdir())
    status, words = run(capsys, "info")
    facts = ["folder", str(folder), "files", "3", "bytes", f"{size:,}", "limit", "3,145,728"]
    assert status == 0
    assert words[:8] == facts
    assert words[8:10] == ["oldest", "1970-01-02"] and words[11:13] == ["newest", "1970-01-04"]


def test_info_of_no_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path / "missing"))
    status, words = run(capsys, "info")
    assert status == 0 and words[2:6] == ["files", "0", "bytes", "0"]
    assert not (tmp_path / "missing").exists()


def test_clear(folder, capsys):
    (folder / "notes.txt").write_text("keep me")
    status, words = run(capsys, "clear")
    assert status == 0 and words[:3] == ["removed", "3", "files"]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_verify(folder, capsys):
    assert run(capsys, "verify")[0] == 0
    damaged = folder / NAMES[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    status, words = run(capsys, "verify")
    assert status == 1 and str(damaged) in words
    assert sorted(path.name for path in folder.iterdir()) == [NAMES[0], NAMES[2]]
    assert run(capsys, "verify")[0] == 0


def test_a_user_without_a_folder(monkeypatch, capsys):
    monkeypatch.setattr(store, "_user_folder", lambda: "")
    monkeypatch.setitem(config._overrides, "CACHE_DIR", "")
    assert command.main(["cache", "info"]) == 2
    assert "no home" in capsys.readouterr().err


def test_the_module_runs_as_a_program(folder):
    (folder / NAMES[0]).write_bytes(b"torn")
    environment = os.environ | {"GRAPHJIT_CACHE_DIR": str(folder.parent)}
    line = [sys.executable, "-m", "graphjit", "cache", "verify"]
    assert subprocess.run(line, env=environment, capture_output=True, check=False).returncode == 1
    line[-1] = "repair"
    assert subprocess.run(line, env=environment, capture_output=True, check=False).returncode == 2
