"""The kernel cache: whatever is wrong with what is on disk, the kernel is built instead."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from graphjit import config
from graphjit.runtime import cache, store
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
    store.write(stored.name, payload)
    assert cache.read("k") is None


def test_a_damaged_file_is_built_again_and_repaired(stored, fresh, monkeypatch):
    monkeypatch.setattr(store, "_is_silent", False)
    stored.write_bytes(stored.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="damaged"):
        assert call(cache.kernel_address("k", build)) == 7
    assert cache.read("k") is not None


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_a_kernel_is_built_where_none_can_be_kept(folder, fresh, monkeypatch, mode):
    monkeypatch.setattr(store, "_is_silent", False)
    folder.mkdir(mode=0o700)
    folder.chmod(mode)
    (folder / cache._file_name("k")).mkdir()
    with pytest.warns(UserWarning, match="not kept"):
        assert call(cache.kernel_address("k", build)) == 7


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


COLD = """
import os, threading
from tests.runtime.test_cache import cache, call, build
ready, go = os.pipe()
children = []
for _ in range(16):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)  # until all have been started
        assert call(cache.kernel_address("k", build)) == 7
        os._exit(0 if cache.stats().compiled + cache.stats().loaded == 1 else 1)
    children.append(child)
os.close(go)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_sixteen_cold_processes_at_once(folder):
    """Each builds the kernel or finds it whole; one file is left, and nobody is warned."""
    environment = os.environ | {"GRAPHJIT_CACHE_DIR": str(folder.parent)}
    command = [sys.executable, "-W", "error::UserWarning", "-c", COLD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{[0] * 16}\n", done.stderr
    assert len(list(folder.iterdir())) == 1
    assert cache.read("k") is not None


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
