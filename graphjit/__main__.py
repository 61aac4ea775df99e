"""`python -m graphjit cache info|clear|verify`: look after the compiled kernels kept on disk."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .runtime import store


def info(folder: Path) -> int:
    """Print where the files are, how many, how large, and when they were used."""
    found = sorted(store.entries(folder), key=lambda entry: entry.used)
    print(f"folder    {folder}")
    print(f"files     {len(found)}")
    print(f"bytes     {sum(entry.size for entry in found):,}")
    print(f"limit     {store.limit():,}")
    if found:
        print(f"oldest    {_moment(found[0].used)}")
        print(f"newest    {_moment(found[-1].used)}")
    return 0


def clear(folder: Path) -> int:
    """Remove the files that graphjit wrote, and no others."""
    removed = store.clear(folder)
    print(f"removed {len(removed)} files of {sum(entry.size for entry in removed):,} bytes")
    return 0


def verify(folder: Path) -> int:
    """Check every file, and remove what is damaged; 1 if anything was."""
    sound, damaged = store.verify(folder)
    for entry in damaged:
        print(f"damaged, removed: {entry.path}")
    print(f"{len(sound)} files are sound, {len(damaged)} were damaged")
    return 1 if damaged else 0


ACTIONS = {"info": info, "clear": clear, "verify": verify}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 for damaged files, 2 for no folder."""
    parser = argparse.ArgumentParser(prog="python -m graphjit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="cache")
    cache = commands.add_parser("cache", help="the compiled kernels kept on disk")
    actions = cache.add_subparsers(required=True, metavar="|".join(ACTIONS))
    for name, action in ACTIONS.items():
        described = action.__doc__
        actions.add_parser(name, help=described, description=described).set_defaults(run=action)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(store.folder())
    except (OSError, store.Unusable) as error:
        print(f"graphjit: {error}", file=sys.stderr)
        return 2
    return status


def _moment(seconds: float) -> str:
    """A time in seconds since the epoch, as the user's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


if __name__ == "__main__":
    sys.exit(main())
