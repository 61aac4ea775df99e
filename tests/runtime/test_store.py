"""Files that outlive the process: whatever happens to one, it is there and sound, or missing."""

import errno
import os
import subprocess
import sys
import textwrap
import warnings

import pytest

from graphjit import config
from graphjit.runtime import store

NAMES = [f"{number:040x}.kernel" for number in range(20)]
NAME = NAMES[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, in a process that has not warned yet."""
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_is_silent", False)
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def stored(folder):
    """The one file of a folder."""
    store.write(NAME, b"some bytes\n" * 100)
    (path,) = folder.iterdir()
    return path


def limit_to(monkeypatch, megabytes):
    monkeypatch.setitem(config._overrides, "CACHE_SIZE", megabytes)


def fill(folder, count, size):
    """So many files of about `size` bytes, each used later than the one before it."""
    for age, name in zip(range(count, 0, -1), NAMES, strict=False):
        store.write(name, bytes(size))
        os.utime(folder / name, (1e9 - age, 1e9 - age))


def warned(action, *arguments):
    """The one warning of a call."""
    with pytest.warns(UserWarning) as caught:
        action(*arguments)
    (warning,) = caught
    return warning


def assert_missing_for_each(path, contents):
    """None of the contents is taken for what was written."""
    for content in contents:
        path.write_bytes(content)
        assert store.read(path.name) is None, content


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(folder):
    assert store.read(NAME) is None
    for content in (b"", b"x", bytes(range(256)) * 50):
        store.write(NAME, content)
        assert store.read(NAME) == content
    assert names(folder) == [NAME]


def test_folder_and_files_are_the_users_own(stored):
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700


# --- damage -------------------------------------------------------------------------------------


def test_any_truncation_is_found_and_the_first_is_warned_of(stored):
    content = stored.read_bytes()
    lengths = {0, 1, 7, 8, 39, 40, 41, *range(0, len(content), 97)}
    warning = warned(assert_missing_for_each, stored, [content[:length] for length in lengths])
    assert f"{stored} was damaged" in str(warning.message)
    assert warning.filename == __file__


def flips(content):
    """`content` with one bit flipped, at many positions."""
    for position in [*range(64), *range(64, len(content), 61), len(content) - 1]:
        yield content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


def test_a_flip_anywhere_is_found(stored):
    warning = warned(assert_missing_for_each, stored, flips(stored.read_bytes()))
    assert "damaged" in str(warning.message)


def test_trailing_bytes_are_found(stored):
    stored.write_bytes(stored.read_bytes() + b"x")
    with pytest.warns(UserWarning, match="damaged"):
        assert store.read(NAME) is None


def test_a_damaged_file_is_replaced_by_the_next_write(stored):
    stored.write_bytes(b"torn")
    with pytest.warns(UserWarning, match="damaged"):
        assert store.read(NAME) is None
    store.write(NAME, b"new")
    assert store.read(NAME) == b"new"


def test_a_file_deleted_while_it_is_read(stored, monkeypatch):
    """Between finding a file and reading it, another process may evict it."""
    find = store._safe_folder

    def find_and_delete():
        place = find()
        stored.unlink(missing_ok=True)
        return place

    monkeypatch.setattr(store, "_safe_folder", find_and_delete)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.read(NAME) is None


def test_a_file_replaced_while_it_is_read_is_the_old_or_the_new(folder):
    """A writer in another process replaces the file all the time."""
    code = f"""
        from graphjit.runtime import store
        while True:
            for byte in b"ab":
                store.write({NAME!r}, bytes([byte]) * 100_000)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = os.environ | {"GRAPHJIT_CACHE_DIR": str(folder.parent)}
    with subprocess.Popen(command, env=environment) as writer:
        try:
            while store.read(NAME) is None:
                assert writer.poll() is None
            seen = {store.read(NAME) for _ in range(300)}
        finally:
            writer.kill()
    assert seen <= {b"a" * 100_000, b"b" * 100_000}


# --- folders and disks that cannot be used ------------------------------------------------------


def assert_nothing_is_kept(match):
    """Reads and writes do nothing, and the first of them warns."""
    message = str(warned(write_and_miss, *NAMES[:3]).message)
    assert match in message
    assert "GRAPHJIT_CACHE_DIR" in message


def write_and_miss(*names):
    for name in names:
        store.write(name, b"bytes")
        assert store.read(name) is None


def test_a_folder_that_is_a_file(folder):
    folder.parent.mkdir()
    folder.write_text("in the way")
    assert_nothing_is_kept("File exists")


def test_a_file_that_is_a_folder(folder):
    folder.mkdir(mode=0o700, parents=True)
    (folder / NAME).mkdir()
    assert "not kept" in str(warned(write_and_miss, NAME).message)
    assert names(folder) == [NAME]


def test_others_could_write_into_the_folder(stored):
    """Object code from a folder that others may write to would run what they put there."""
    stored.parent.chmod(0o777)
    assert_nothing_is_kept("others may write")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("owner, call", [(store, "open"), (os, "replace"), (os, "open")])
def test_a_disk_that_cannot_be_written(folder, monkeypatch, number, owner, call):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(owner, call, refuse, raising=False)
    assert_nothing_is_kept(os.strerror(number))
    monkeypatch.undo()
    assert names(folder) == []


def test_a_disk_that_is_full_in_the_middle_of_a_file(folder):
    """The limit on the size of files lets the beginning of a file be written, as a full disk does.

    """
    code = f"""
        import resource, warnings
        from graphjit.runtime import store
        store.write({NAME!r}, b"small")
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        with warnings.catch_warnings(record=True) as caught:
            for name in {NAMES[1:4]!r}:
                store.write(name, bytes(20_000))
                assert store.read(name) is None
        assert store.read({NAME!r}) == b"small"
        print(len(caught))
    """
    environment = os.environ | {"GRAPHJIT_CACHE_DIR": str(folder.parent)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.check_output(command, env=environment, text=True) == "1\n"
    assert names(folder) == [NAME]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read(stored):
    content = store.read(NAME)
    stored.parent.chmod(0o500)
    with pytest.warns(UserWarning, match="Permission denied"):
        store.write(NAMES[1], b"bytes")
    assert store.read(NAME) == content


@pytest.mark.parametrize("home", ["", "/dev/null", "/proc/none"])
def test_no_home_and_one_that_cannot_be_written(folder, monkeypatch, home):
    monkeypatch.setitem(config._overrides, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: home or path)
    assert_nothing_is_kept("not kept on disk")


def test_a_user_who_wants_no_files_has_none(folder, monkeypatch):
    limit_to(monkeypatch, 0)
    store.write(NAME, b"bytes")
    assert store.read(NAME) is None
    assert not folder.exists()


# --- the size of the folder ---------------------------------------------------------------------


def test_the_files_used_longest_ago_go_first(folder, monkeypatch):
    limit_to(monkeypatch, 1)
    fill(folder, 9, 100_000)
    assert store.read(NAMES[0]) is not None  # used now
    store.write(NAMES[9], bytes(100_000))
    store.write(NAMES[10], bytes(100_000))  # too much: down to nine tenths of the limit
    assert names(folder) == [NAMES[0], *NAMES[3:11]]


def test_what_others_have_written_is_found_by_a_process_that_writes(folder, monkeypatch):
    fill(folder, 20, 100_000)
    monkeypatch.setattr(store, "_sizes", {})  # another process
    limit_to(monkeypatch, 1)
    store.write(NAMES[0], bytes(100))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2**20
    assert store.read(NAMES[0]) is not None


def test_a_file_beyond_the_limit_drives_nothing_out(folder, monkeypatch):
    limit_to(monkeypatch, 1)
    fill(folder, 3, 100_000)
    store.write(NAMES[9], bytes(2**20))
    assert names(folder) == NAMES[:3]


def test_only_temporary_files_of_dead_writers_are_removed(folder):
    folder.mkdir(mode=0o700, parents=True)
    dead, alive = folder / f".{1:016x}.part", folder / f".{2:016x}.part"
    dead.write_bytes(b"torn")
    alive.write_bytes(b"half")
    os.utime(dead, (1e9, 1e9))
    store.trim(folder)
    assert names(folder) == [alive.name]


EVICT = """
import os, sys
from graphjit.runtime import store
sys.stdin.readline()
for number in range(200):
    name = f"{os.getpid() * 1000 + number:040x}.kernel"
    store.write(name, bytes(20_000))
    assert store.read(name) in (None, bytes(20_000))
"""


def test_processes_that_evict_at_once(folder):
    """Two processes that remove the same files count them once each, and keep the newest."""
    limits = {"GRAPHJIT_CACHE_DIR": str(folder.parent), "GRAPHJIT_CACHE_SIZE": "1"}
    command = [sys.executable, "-W", "error", "-c", EVICT]
    processes = [
        subprocess.Popen(
            command, env=os.environ | limits, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in processes:  # start together
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * 3
    left = sum(path.stat().st_size for path in folder.iterdir())
    assert 0.5 * 2**20 < left < 3 * 2**20  # each process knows of its own files alone


# --- for the user -------------------------------------------------------------------------------


def test_clear_removes_our_files_alone(stored):
    others = [stored.parent / name for name in ("notes.txt", "own.kernel", "0.limits")]
    for other in others:
        other.write_text("keep me")
    (part := stored.parent / f".{0:016x}.part").write_bytes(b"")
    assert {entry.path for entry in store.clear(stored.parent)} == {stored, part}
    assert sorted(stored.parent.iterdir()) == sorted(others)


def test_verify_removes_the_damaged_alone(folder):
    fill(folder, 4, 1000)
    (folder / NAMES[1]).write_bytes(b"")
    content = (folder / NAMES[2]).read_bytes()
    (folder / NAMES[2]).write_bytes(content[:-1] + b"\x01")
    sound, damaged = store.verify(folder)
    assert {entry.path.name for entry in sound} == {NAMES[0], NAMES[3]}
    assert {entry.path.name for entry in damaged} == {NAMES[1], NAMES[2]}
    assert names(folder) == [NAMES[0], NAMES[3]]


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    missing = tmp_path / "missing"
    assert list(store.entries(missing)) == []
    assert store.clear(missing) == []
    assert store.verify(missing) == ([], [])
