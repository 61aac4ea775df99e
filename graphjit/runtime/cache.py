"""Compiled kernels by key: in memory, then on disk, else built.

What is kept on disk is a header that must equal this environment's, and object code. Whatever is
wrong with a file or its folder, the kernel is built instead.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ..errors import CompileError
from . import objects, store
from .objects import ObjectCode

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stats:
    """Kernels of this process: `compiled` here, `loaded` from disk."""

    compiled: int = 0
    loaded: int = 0


class Address(int):
    """The address of a native function, which knows by what `key` other processes find it."""

    key: str

    def __new__(cls, value: int, key: str) -> Self:
        """`value`, of the function called `key`."""
        address = super().__new__(cls, value)
        address.key = key
        return address


_addresses: dict[str, Address] = {}
_stats = Stats()


def stats() -> Stats:
    """What the cache has done so far in this process."""
    return _stats


def kernel_address(key: str, build: Callable[[], ObjectCode]) -> Address:
    """The address of the native function called `key`, built at most once per machine.

    `key` must determine what `build` makes: text of the source, types, flags. What `build` raises
    passes through; nothing that is wrong with the files does.
    """
    address = _addresses.get(key)
    if address is None:
        with objects.lock:
            address = _addresses.get(key)
            if address is None:
                address = _addresses[key] = Address(_load(key) or _build(key, build), key)
    return address


def known_address(key: str) -> Address | None:
    """The address of the function called `key`, if it is loaded or on disk."""
    address = _addresses.get(key)
    if address is None:
        with objects.lock:
            if key not in _addresses and (found := _load(key)):
                _addresses[key] = Address(found, key)
            address = _addresses.get(key)
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
    content = store.read(_file_name(key))
    return None if content is None else _decode(key, content)


def write(key: str, code: ObjectCode) -> None:
    """Store `code` under `key`, where files can be kept."""
    store.write(_file_name(key), _encode(key, code))


def _encode(key: str, code: ObjectCode) -> bytes:
    header = _expected_header(key) | {"symbol": code.symbol, "length": len(code.code)}
    return json.dumps(header).encode() + b"\n" + code.code


def _decode(key: str, content: bytes) -> ObjectCode | None:
    line, _, code = content.partition(b"\n")
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


def source_digest(*paths: Path) -> str:
    """A digest of source files: the part of a library kernel's key that its code decides."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:32]
