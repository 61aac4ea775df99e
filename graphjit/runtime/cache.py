"""Compiled kernels by key: in memory, then on disk, else built.

A file is a digest over everything after it, a header that must equal this environment's, and
object code. Whatever is wrong with a file or its folder, the kernel is built instead.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import config
from ..errors import CompileError
from . import objects
from .objects import ObjectCode

FORMAT = 1
MAGIC = b"graphjit"
DIGEST_SIZE = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Stats:
    """Kernels of this process: `compiled` here, `loaded` from disk."""

    compiled: int = 0
    loaded: int = 0


_addresses: dict[str, int] = {}
_stats = Stats()


def stats() -> Stats:
    """What the cache has done so far in this process."""
    return _stats


def kernel_address(key: str, build: Callable[[], ObjectCode]) -> int:
    """The address of the native function called `key`, built at most once per machine.

    `key` must determine what `build` makes: text of the source, types, flags. What `build` raises
    passes through; nothing that is wrong with the files does.
    """
    address = _addresses.get(key)
    if address is None:
        with objects.lock:
            address = _addresses.get(key)
            if address is None:
                address = _addresses[key] = _load(key) or _build(key, build)
    return address


def _load(key: str) -> int | None:
    global _stats
    found = read(key)
    if found is None:
        return None
    try:
        address = objects.load(found)
    except CompileError:
        return None
    _stats = replace(_stats, loaded=_stats.loaded + 1)
    return address


def _build(key: str, build: Callable[[], ObjectCode]) -> int:
    global _stats
    built = build()
    address = objects.load(built)
    _stats = replace(_stats, compiled=_stats.compiled + 1)
    write(key, built)
    return address


def read(key: str) -> ObjectCode | None:
    """The object code stored under `key`, if a file is there, is sound, and fits this machine."""
    try:
        folder = _folder()
        if folder is None:
            return None
        content = (folder / _file_name(key)).read_bytes()
    except OSError:
        return None
    return _decode(key, content)


def write(key: str, code: ObjectCode) -> None:
    """Store `code` under `key`; does nothing where the folder cannot be written."""
    with contextlib.suppress(OSError):
        folder = _folder()
        if folder is None:
            return
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        try:
            with open(handle, "wb") as file:
                file.write(_encode(key, code))
            os.replace(temporary, folder / _file_name(key))
        except OSError:
            os.unlink(temporary)


def _encode(key: str, code: ObjectCode) -> bytes:
    header = _expected_header(key) | {"symbol": code.symbol, "length": len(code.code)}
    payload = json.dumps(header).encode() + b"\n" + code.code
    return MAGIC + hashlib.sha256(payload).digest() + payload


def _decode(key: str, content: bytes) -> ObjectCode | None:
    start = len(MAGIC) + DIGEST_SIZE
    payload = content[start:]
    if content[:start] != MAGIC + hashlib.sha256(payload).digest():
        return None
    line, _, code = payload.partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        return None
    symbol = header.get("symbol") if isinstance(header, dict) else None
    expected = _expected_header(key) | {"symbol": symbol, "length": len(code)}
    return ObjectCode(symbol, code) if isinstance(symbol, str) and header == expected else None


def _expected_header(key: str) -> dict[str, object]:
    return environment() | {"key": key}


def _file_name(key: str) -> str:
    text = json.dumps(_expected_header(key))
    return hashlib.sha256(text.encode()).hexdigest()[:40] + ".kernel"


@functools.cache
def _environment_items() -> tuple[tuple[str, object], ...]:
    import llvmlite
    import llvmlite.binding as llvm

    return (
        ("format", FORMAT),
        ("numba", _numba_version()),
        ("llvmlite", llvmlite.__version__),
        ("python", platform.python_version()),
        ("platform", f"{sys.platform}-{platform.machine()}"),
        ("cpu", llvm.get_host_cpu_name()),
        ("features", llvm.get_host_cpu_features().flatten()),
    )


def environment() -> dict[str, object]:
    """All that object code depends on apart from its key: versions and this CPU."""
    return dict(_environment_items())


def _numba_version() -> str:
    """Numba's version, read from its files: importing it takes a third of a second."""
    spec = importlib.util.find_spec("numba")
    if spec is None or spec.origin is None:
        return "none"
    try:
        text = (Path(spec.origin).parent / "_version.py").read_text()
    except OSError:
        text = ""
    found = re.search(r'"version": "([^"]+)"', text)
    if found:
        return found[1]
    from importlib import metadata

    return metadata.version("numba")


def _folder() -> Path | None:
    """The folder of kernels, made if need be; None if others could put code into it."""
    root = config.get_str("CACHE_DIR") or _user_folder()
    if not root:
        return None
    folder = Path(root) / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
            return None
    return folder


def _user_folder() -> str:
    """The platform's folder for caches, or nothing where the user has no home."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches") if os.path.isabs(home) else ""
    else:
        fallback = os.path.join(home, ".cache") if os.path.isabs(home) else ""
        base = os.environ.get("XDG_CACHE_HOME") or fallback
    return os.path.join(base, "graphjit") if base else ""


def source_digest(*paths: Path) -> str:
    """A digest of source files: the part of a library kernel's key that its code decides."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:32]
