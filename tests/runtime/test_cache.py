"""The kernel cache: whatever is wrong with a file or its folder, the kernel is built instead."""

import ctypes
import errno
import os
import subprocess
import sys
import threading

import pytest

from graphjit import config
from graphjit.runtime import cache
from graphjit.runtime.language import i64
from graphjit.runtime.language.build import compile_kernel


def _seven(table, begin, end):
    return 7


def build():
    return compile_kernel(_seven, i64)


def call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)(address)(0, 0, 0)


@pytest.fixture
def folder(tmp_path):
    before = config.override("CACHE_DIR", str(tmp_path))
    yield tmp_path / "kernels"
    config.override("CACHE_DIR", before)


@pytest.fixture
def stored(folder):
    """The one file of a cache that holds the kernel `k`."""
    code = build()
    cache.write("k", code)
    (path,) = folder.iterdir()
    assert cache.read("k") == code
    return path


@pytest.fixture
def fresh(monkeypatch):
    """No kernel in memory."""
    monkeypatch.setattr(cache, "_addresses", {})


def test_built_once_then_loaded(folder, monkeypatch):
    built = []

    def counted():
        built.append(1)
        return build()

    before = cache.stats()
    for _ in range(2):
        monkeypatch.setattr(cache, "_addresses", {})
        address = cache.kernel_address("once", counted)
        assert cache.kernel_address("once", counted) == address
        assert call(address) == 7
    assert len(built) == 1
    assert cache.stats().compiled == before.compiled + 1
    assert cache.stats().loaded == before.loaded + 1


def test_folder_and_files_are_the_users_own(stored):
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700


def test_any_truncation_is_a_miss(stored):
    content = stored.read_bytes()
    lengths = {0, 1, 7, 8, 39, 40, 41, content.index(b"\n"), content.index(b"\n") + 1}
    for length in lengths | set(range(0, len(content), 97)):
        stored.write_bytes(content[:length])
        assert cache.read("k") is None, length


def test_a_flip_anywhere_is_a_miss(stored):
    content = bytearray(stored.read_bytes())
    for position in [*range(64), *range(64, len(content), 61), len(content) - 1]:
        content[position] ^= 0x10
        stored.write_bytes(content)
        assert cache.read("k") is None, position
        content[position] ^= 0x10


def test_trailing_bytes_are_a_miss(stored):
    stored.write_bytes(stored.read_bytes() + b"x")
    assert cache.read("k") is None


@pytest.mark.parametrize("field", sorted(cache.environment()))
def test_another_environment_is_a_miss(stored, monkeypatch, field):
    other = cache.environment() | {field: "other"}
    content = stored.read_bytes()
    monkeypatch.setattr(cache, "environment", lambda: other)
    assert cache.read("k") is None
    (stored.parent / cache._file_name("k")).write_bytes(content)  # under the name looked for
    assert cache.read("k") is None


def test_a_file_under_another_key_is_a_miss(stored):
    (stored.parent / cache._file_name("other")).write_bytes(stored.read_bytes())
    assert cache.read("other") is None


@pytest.mark.parametrize("payload", [b"", b"\n", b"[]\ncode", b"{}\ncode", b"null\n", b"\xff\n"])
def test_a_sound_digest_over_nonsense_is_a_miss(stored, payload):
    stored.write_bytes(cache.MAGIC + cache.hashlib.sha256(payload).digest() + payload)
    assert cache.read("k") is None


def test_a_damaged_file_is_built_again_and_repaired(stored, fresh):
    stored.write_bytes(stored.read_bytes()[:-10])
    assert call(cache.kernel_address("k", build)) == 7
    assert cache.read("k") is not None


def test_a_folder_that_is_a_file(folder, fresh):
    folder.write_text("in the way")
    assert call(cache.kernel_address("k", build)) == 7


def test_a_kernel_file_that_is_a_folder(folder, fresh):
    folder.mkdir(mode=0o700)
    (folder / cache._file_name("k")).mkdir()
    assert call(cache.kernel_address("k", build)) == 7
    assert not list(folder.glob(".*.part"))


def test_others_could_write_into_the_folder(stored, fresh):
    """Object code from a folder that others may write to would run what they put there."""
    stored.parent.chmod(0o777)
    assert cache.read("k") is None
    assert call(cache.kernel_address("k", build)) == 7


def _refuse(error):
    def refuse(*args, **kwargs):
        raise error

    return refuse


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("call_name", ["open", "os.replace", "tempfile.mkstemp"])
def test_a_disk_that_cannot_be_written(folder, fresh, monkeypatch, number, call_name):
    monkeypatch.setattr(cache, "open", open, raising=False)
    error = OSError(number, os.strerror(number))
    owner, _, name = call_name.rpartition(".")
    monkeypatch.setattr(getattr(cache, owner) if owner else cache, name, _refuse(error))
    assert call(cache.kernel_address("k", build)) == 7
    assert not list(folder.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(folder, fresh):
    folder.mkdir(mode=0o500)
    assert call(cache.kernel_address("k", build)) == 7


def test_user_without_home(monkeypatch, fresh):
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.os.path, "expanduser", lambda path: path)
    before = config.override("CACHE_DIR", "")
    try:
        assert call(cache.kernel_address("k", build)) == 7
    finally:
        config.override("CACHE_DIR", before)


def test_one_build_for_many_threads(folder, fresh):
    built, addresses = [], []

    def counted():
        built.append(1)
        return build()

    def work():
        addresses.append(cache.kernel_address("shared", counted))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(set(addresses)) == 1


PROGRAM = """
import ctypes, sys
from graphjit.runtime import cache, library, runner
runner.walk()
if sys.argv[1] == "matmul":
    library.kernel("matmul", "loops", "int64")
print(cache.stats().compiled, cache.stats().loaded, "numba" in sys.modules)
"""


def start(folder, *arguments):
    environment = os.environ | {"GRAPHJIT_CACHE_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    return output.split()


def test_second_process_compiles_nothing_and_neither_imports_numba(tmp_path):
    assert finish(start(tmp_path, "matmul")) == ["2", "0", "False"]
    assert finish(start(tmp_path, "matmul")) == ["0", "2", "False"]


def test_eight_cold_processes_at_once(tmp_path):
    for output in [finish(p) for p in [start(tmp_path, "walk") for _ in range(8)]]:
        assert output[:2] in (["1", "0"], ["0", "1"])
    assert len(list((tmp_path / "kernels").iterdir())) == 1
    assert finish(start(tmp_path, "walk")) == ["0", "1", "False"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_builds(folder, fresh):
    """A child forked in the middle of a build must not wait for a thread it does not have."""
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        leave.wait(10)
        return build()

    thread = threading.Thread(target=cache.kernel_address, args=("slow", slow))
    thread.start()
    inside.wait(10)
    threading.Timer(0.2, leave.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if call(cache.kernel_address("k", build)) == 7 else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
