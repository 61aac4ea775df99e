"""The line that says what takes long: on a terminal, and only while it does."""

import io
import threading
from types import SimpleNamespace

import pytest

import graphjit as gj
from graphjit import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def lines(self):
        """What stood on the line, one after the other."""
        return [text.rstrip() for text in self.getvalue().split("\r")]


def set_stderr(monkeypatch, stream):
    """pytest sets the interpreter's own between the fixtures and the test."""
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    set_stderr(monkeypatch, terminal)
    return terminal


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "PAUSE", 0.0)


def count(title, *texts):
    with progress.shown(title):
        for text in texts:
            progress.report(text)


def compile_something():
    traced = gj.trace(lambda x: x.exp().sum())
    return traced(gj.ones(4, 3))


def test_a_line_is_written_over_and_in_the_end_erased(terminal, impatient):
    count("counting", "a long word", "two")
    before, one, two, erased, after = terminal.lines()
    assert (one, two) == ("graphjit: counting: a long word", "graphjit: counting: two")
    assert before == erased == after == ""
    written = terminal.getvalue()
    assert len(written.split("\r")[2]) == len("graphjit: counting: a long word")  # hides the first
    assert written.endswith("\r") and "\n" not in written


def test_compiling_says_how_far_it_is(terminal, impatient):
    compile_something()
    lines = terminal.lines()
    assert any("compiling" in line and "pass fuse" in line for line in lines)
    assert any("kernels, 1 of" in line for line in lines)
    assert lines[-1] == ""


def test_what_is_quick_is_not_mentioned(terminal):
    count("counting", "one", "two")
    assert terminal.getvalue() == ""


def test_nothing_is_written_elsewhere_than_to_a_terminal(capfd, impatient):
    compile_something()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_standard_error(monkeypatch, impatient, stream):
    closed = io.StringIO()
    closed.close()
    set_stderr(monkeypatch, stream and closed)
    count("counting", "one")


def test_a_line_is_no_longer_than_the_terminal(terminal, impatient):
    count("counting", "x" * 200)
    assert max(map(len, terminal.lines())) == 79


def test_the_line_is_erased_when_the_task_fails(terminal, impatient):
    with pytest.raises(ZeroDivisionError), progress.shown("counting"):
        progress.report("one")
        raise ZeroDivisionError
    assert terminal.lines()[-1] == "" and len(terminal.lines()) == 4
    progress.report("too late")
    assert "too late" not in terminal.getvalue()


def test_a_task_within_a_task_does_not_take_over(terminal, impatient):
    with progress.shown("outer"):
        count("inner", "one")
        progress.report("two")
    assert terminal.lines()[1:3] == ["graphjit: outer: one", "graphjit: outer: two"]


def test_other_threads_have_lines_of_their_own(terminal, impatient):
    with progress.shown("outer"):
        thread = threading.Thread(target=progress.report, args=("from elsewhere",))
        thread.start()
        thread.join()
    assert terminal.getvalue() == ""
