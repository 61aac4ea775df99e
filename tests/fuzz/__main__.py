"""`python -m tests.fuzz`: make programs, run them, shrink and print those that fail."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .check import Verdict, check
from .generate import generate
from .program import Program
from .shrink import shrink
from .tape import tape_program

#: after which a program counts as one that hangs
SECONDS = 120


class TooLong(BaseException):
    """Raised in a program that hangs, which can only catch exceptions of other kinds."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """TooLong if the block takes longer."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Tally:
    """What has become of the programs so far; `unstable` are those that rounding explains."""

    programs: int = 0
    replayed: int = 0
    branched: int = 0
    refused: int = 0
    failed: int = 0
    unstable: list[int] = field(default_factory=list)

    def count(self, seed: int, verdict: Verdict) -> bool:
        """Add a program; whether it has failed."""
        self.programs += 1
        self.replayed += verdict.replays > 0
        self.branched += verdict.variants > 1
        self.refused += bool(verdict.refusal)
        if verdict.mismatch and verdict.unstable:
            self.unstable.append(seed)
        failed = bool(verdict.mismatch) and not verdict.unstable
        self.failed += failed
        return failed

    def text(self) -> str:
        """The counts, in words."""
        return (
            f"{self.programs} programs, {self.replayed} replayed, {self.branched} with several "
            f"variants, {self.refused} refused, {len(self.unstable)} unstable {self.unstable}, "
            f"{self.failed} failed"
        )


def main() -> int:
    """Run the programs asked for; returns how many failed, at most 100."""
    options = _options()
    tally = Tally()
    start = time.perf_counter()
    for seed in range(options.seed, options.seed + options.programs):
        _run(seed, options, tally)
        if tally.programs in (1, 20):
            gc.freeze()  # what is loaded by now is not looked through again
        if tally.failed >= options.stop:
            break
    seconds = time.perf_counter() - start
    print(
        f"seeds {options.seed} to {seed}, depth {options.depth}: {tally.text()} in {seconds:.1f} s"
    )
    return min(tally.failed, 100)


def _run(seed: int, options: argparse.Namespace, tally: Tally) -> None:
    """Make and check one program; report it if it fails."""
    try:
        with at_most(SECONDS):
            program = tape_program(seed) if options.tape else generate(seed, options.torch)
            verdict = check(program, options.depth, options.torch)
    except TooLong:
        print(f"\n# seed {seed} takes more than {SECONDS} s", flush=True)
        tally.programs += 1
        tally.failed += 1
        return
    if tally.count(seed, verdict):
        report(program, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=1, help="how many, one for each seed")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--depth", choices=("interp", "kernels"), default="interp")
    parser.add_argument("--torch", action="store_true", help="compare eager code with torch")
    parser.add_argument("--tape", action="store_true", help="programs about the tape alone")
    parser.add_argument("--stop", type=int, default=10, help="failures to stop after")
    parser.add_argument("--no-shrink", action="store_true", help="print failures as they are")
    return parser.parse_args()


def report(program: Program, options: argparse.Namespace) -> None:
    """Print the program, made small, and the command that repeats it."""

    def fails(candidate: Program) -> bool:
        try:
            verdict = check(candidate, options.depth, options.torch)
        except Exception:  # noqa: BLE001  (what is left of the setup does not run)
            return False
        return bool(verdict.mismatch) and not verdict.unstable

    smallest = program if options.no_shrink else shrink(program, fails)
    flags = f"--depth {options.depth}" + " --torch" * options.torch + " --tape" * options.tape
    print(f"\n# {check(smallest, options.depth, options.torch).mismatch}")
    print(f"# python -m tests.fuzz --programs 1 --seed {program.seed} {flags}")
    print(smallest.text(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
