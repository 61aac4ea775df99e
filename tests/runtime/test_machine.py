"""What the machine reaches: measured once, and kept."""

import pytest

from graphjit import config
from graphjit.dtypes import float32, float64, int64
from graphjit.runtime import machine, store

KNOWN = machine.Limits(copy=3.0, float32=2.0, float64=1.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(store, "_is_silent", False)
    machine.limits.cache_clear()
    yield tmp_path / "kernels"
    machine.limits.cache_clear()


@pytest.fixture
def measured(monkeypatch):
    """The measurements made, none of which takes time."""
    made = []

    def copy_rate():
        made.append("copy")
        return KNOWN.copy

    monkeypatch.setattr(machine, "_copy_rate", copy_rate)
    monkeypatch.setattr(machine, "_product_rate", lambda dtype: getattr(KNOWN, dtype.name))
    return made


def limits():
    """As another process would find them."""
    machine.limits.cache_clear()
    return machine.limits()


def test_rates_are_those_of_a_computer(folder):
    found = machine.limits()
    assert 1e8 < found.copy < 1e13
    assert 1e8 < found.float64 < found.float32 < 1e13


def test_each_dtype_has_a_limit():
    assert KNOWN.flops(float64) == KNOWN.float64
    assert KNOWN.flops(float32) == KNOWN.flops(int64) == KNOWN.flops(None) == KNOWN.float32


def test_measured_once_on_a_machine(folder, measured, monkeypatch):
    assert limits() == limits() == KNOWN
    assert measured == ["copy"]
    monkeypatch.setattr(machine.platform, "node", lambda: "another computer")
    assert limits() == KNOWN
    assert measured == ["copy"] * 2


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"copy": 1.0}', b"\xff"])
def test_what_is_not_understood_is_measured_anew(folder, measured, content):
    limits()
    (path,) = folder.glob("*.limits")
    store.write(path.name, content)
    assert limits() == KNOWN
    assert measured == ["copy"] * 2
    assert store.read(path.name) != content
