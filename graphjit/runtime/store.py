"""Files that outlive the process: a digest, then what it was taken of, in a folder of bounded size.

Reads and writes bytes by name. Writers rename a finished file into place, readers check its digest,
and anyone may remove any file at any time: whatever happens to a file, it is there and sound, or
it is missing. Nothing here raises because of a file or a folder; the first fault is warned of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import config
from ..errors import warn

MAGIC = b"graphjit"
_HEAD = len(MAGIC) + hashlib.sha256().digest_size
#: What this module writes; it removes nothing else.
_OURS = re.compile(r"[0-9a-f]{40}\.(kernel|limits|plan)|\.[0-9a-f]{16}\.part")
#: A temporary file of this age, in seconds, belongs to a writer that was killed.
_ABANDONED = 3600
#: Eviction leaves this part of the limit, so that the next files find room.
_KEPT = 0.9


class Unusable(Exception):
    """There is no folder, or none that is safe to use."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its size in bytes, and when it was last used, in seconds since the epoch."""

    path: Path
    size: int
    used: float

    @property
    def is_temporary(self) -> bool:
        """Whether a writer has not finished it."""
        return self.path.suffix == ".part"


_is_silent = False
#: Bytes in a folder, as far as this process knows.
_sizes: dict[Path, int] = {}


def limit() -> int:
    """Bytes that the folder may take; nothing is kept where it is 0."""
    return max(0, config.get_int("CACHE_SIZE")) * 2**20


def read(name: str) -> bytes | None:
    """What was written under `name`; None if it is not there, or damaged."""
    if not limit():
        return None
    try:
        path = _safe_folder() / name
        content = path.read_bytes()
        if (found := payload(content)) is None:
            _warn(f"{path} was damaged, and what it held is made anew")
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # a file system need not note when a file is read
        return found
    except FileNotFoundError:
        return None
    except (OSError, Unusable) as error:
        _warn_not_kept(error)
        return None


def write(name: str, content: bytes) -> None:
    """Keep `content` under `name`, where that is possible."""
    sealed = MAGIC + hashlib.sha256(content).digest() + content
    if len(sealed) > limit():
        return
    try:
        folder = _safe_folder()
        _replace(folder / name, sealed)
        _note_growth(folder, len(sealed))
    except (OSError, Unusable) as error:
        _warn_not_kept(error)


def payload(content: bytes) -> bytes | None:
    """What a file of this content holds; None if it is not as it was written."""
    rest = content[_HEAD:]
    return rest if content[:_HEAD] == MAGIC + hashlib.sha256(rest).digest() else None


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


# --- the folder ---------------------------------------------------------------------------------


def folder() -> Path:
    """Where the files are; Unusable where the user has no folder for caches."""
    root = config.get_str("CACHE_DIR") or _user_folder()
    if not root:
        raise Unusable("there is no home folder")
    return Path(root) / "kernels"


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


def _safe_folder() -> Path:
    """The folder, made if need be; Unusable if others could put code into it."""
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        status = place.stat()
        if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
            raise Unusable(f"others may write to {place}")
    return place


def entries(place: Path) -> Iterator[Entry]:
    """The files of a folder that are ours; those that vanish meanwhile are left out."""
    try:
        scan = os.scandir(place)
    except FileNotFoundError:
        return
    with scan:
        for item in scan:
            if _OURS.fullmatch(item.name):
                with contextlib.suppress(FileNotFoundError):
                    status = item.stat(follow_symlinks=False)
                    yield Entry(Path(item.path), status.st_size, status.st_mtime)


# --- what removes files -------------------------------------------------------------------------


def _note_growth(place: Path, size: int) -> None:
    """Evict once the folder is too large, as far as this process knows.

    What others have added since this process looked is not counted; they count it.
    """
    known = _sizes.get(place)
    if known is None or known + size > limit():
        _sizes[place] = trim(place)
    else:
        _sizes[place] = known + size


def trim(place: Path) -> int:
    """Remove what was used longest ago if the folder is too large; returns the bytes left.

    Several processes may do so at once: they choose the same files, and count as freed what
    another has removed.
    """
    abandoned = time.time() - _ABANDONED
    found = sorted(entries(place), key=lambda entry: entry.used)
    for entry in found:
        if entry.is_temporary and entry.used < abandoned:
            _remove(entry.path)
    finished = [entry for entry in found if not entry.is_temporary]
    total = sum(entry.size for entry in finished)
    if total > limit():
        for entry in finished:
            if total <= _KEPT * limit():
                break
            _remove(entry.path)
            total -= entry.size
    return total


def clear(place: Path) -> list[Entry]:
    """Remove every file of ours; returns those that were there. OSError if one has to stay."""
    found = list(entries(place))
    for entry in found:
        entry.path.unlink(missing_ok=True)
    _sizes.pop(place, None)
    return found


def verify(place: Path) -> tuple[list[Entry], list[Entry]]:
    """Check the digest of every file and remove the damaged ones; returns the sound, the removed.

    OSError if a file cannot be read, or has to stay.
    """
    sound: list[Entry] = []
    damaged: list[Entry] = []
    for entry in entries(place):
        if entry.is_temporary:
            continue
        try:
            content = entry.path.read_bytes()
        except FileNotFoundError:
            continue
        (sound if payload(content) is not None else damaged).append(entry)
    for entry in damaged:
        entry.path.unlink(missing_ok=True)
    return sound, damaged


# --- what goes wrong ----------------------------------------------------------------------------


def _warn_not_kept(error: Exception) -> None:
    _warn(
        f"compiled kernels are not kept on disk: {error}; GRAPHJIT_CACHE_DIR names another folder, "
        "GRAPHJIT_CACHE_SIZE=0 does without"
    )


def _warn(message: str) -> None:
    """Warn, once in a process: what is lost is time alone."""
    global _is_silent
    if not _is_silent:
        _is_silent = True
        warn(message)
