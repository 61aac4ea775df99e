"""Programs on disk are read as they were written, with all of their kernels, or not at all."""

import json

import pytest

from graphjit import config, dtypes
from graphjit.errors import Location
from graphjit.runtime import cache, library, plans, store
from graphjit.runtime.instruction import (
    Arena,
    Cost,
    External,
    Instruction,
    ScalarSlot,
    Scratch,
    Status,
)
from graphjit.runtime.plans import Plan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, in a process that has no kernel yet, and has not warned."""
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_addresses", {})
    monkeypatch.setattr(store, "_is_silent", True)
    library.kernel.cache_clear()
    yield tmp_path / "kernels"
    library.kernel.cache_clear()


@pytest.fixture
def plan(folder):
    """One with every kind of argument."""
    require = library.kernel("checks", "require")
    args = (
        External(2, 8), Arena(64), Status(), Scratch(128), ScalarSlot(1), -3, 1 << 62, 0.1,
        float("inf"), require,
    )  # fmt: skip
    lines = (Location("a.py", 3, "f"), Location("b.py", 4, "g"))
    first = Instruction("first", require, args, 0, 7, Cost(5, 6, dtypes.float32), lines)
    second = Instruction("second", require, (), lines=lines[:1])
    return Plan((first, second), 4096, {"first": "def kernel(): pass"}, "told", {2: 0})


@pytest.fixture
def stored(folder, plan):
    """The file that holds the plan."""
    plans.write("key", plan)
    (path,) = folder.glob("*.plan")
    return path


def forget(monkeypatch):
    """As in a process that has no kernel in memory."""
    monkeypatch.setattr(cache, "_addresses", {})


def test_a_plan_is_read_as_it_was_written(stored, plan):
    assert plans.read("key") == plan


def test_kernels_are_found_where_this_process_has_them(stored, monkeypatch):
    before = cache.stats()
    forget(monkeypatch)
    first, second = plans.read("key").instructions
    address = cache.known_address(first.address.key)
    assert first.address == second.address == first.args[-1] == address
    assert (cache.stats().loaded, cache.stats().compiled) == (before.loaded + 1, before.compiled)


def test_another_key_finds_nothing(stored):
    assert plans.read("another") is None


def test_a_plan_whose_kernel_is_gone_is_not_used(stored, monkeypatch):
    forget(monkeypatch)
    for path in stored.parent.glob("*.kernel"):
        path.unlink()
    assert plans.read("key") is None


def test_a_damaged_plan_is_not_used(stored):
    content = stored.read_bytes()
    for place in range(0, len(content), len(content) // 50):
        stored.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert plans.read("key") is None
        stored.write_bytes(content[:place])
        assert plans.read("key") is None


@pytest.mark.parametrize("where", ["FORMAT", "environment"])
def test_a_plan_of_another_version_is_not_used(where, stored, plan, monkeypatch):
    """Neither under the name it has, nor where the new version looks for its own."""
    if where == "FORMAT":
        monkeypatch.setattr(plans, "FORMAT", plans.FORMAT + 1)
    else:
        monkeypatch.setattr(cache, "environment", lambda: {"cpu": "another"})
    assert plans.read("key") is None
    stored.rename(stored.with_name(plans._file_name("key")))
    assert plans.read("key") is None


@pytest.mark.parametrize("change", ["no rows", "a word too few", "no such kernel", "no object"])
def test_sound_files_of_other_content_are_not_used(change, stored):
    document = json.loads(store.read(stored.name))
    if change == "no rows":
        del document["plan"]["rows"]
    elif change == "a word too few":
        document["plan"]["rows"][0].pop()
    elif change == "no such kernel":
        document["plan"]["rows"][0][1] = ["k", 9]
    else:
        document = []
    store.write(stored.name, json.dumps(document).encode())
    assert plans.read("key") is None


def test_plans_are_files_of_ours(stored):
    assert stored in [entry.path for entry in store.entries(stored.parent)]
