"""One workload's peers, each in a process of its own, checked against PyTorch and timed in turns.

Reads a `Plan`; makes a `Record` for each peer: times in seconds, memory in MB, or an error.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, isnan
from pathlib import Path
from statistics import mean, median
from typing import Any

from . import peers

ROOT = Path(__file__).parents[1]
ANSWER_WITHIN = 600  # seconds; torch.compile needs 90 for the unrolled LSTM
TOLERANCE = 1e-3
REFERENCE = "torch"
Record = dict[str, Any]
Values = list[list[float]]


class PeerFailed(Exception):
    """A peer crashed, hung, gave wrong results, or is not there."""


@dataclass(frozen=True)
class Plan:
    """What to measure; `extras` are the warm start and half the batch."""

    workload: str
    cores: tuple[int, ...]
    rounds: int
    seconds: float
    extras: bool


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Processes started within run on these cores only, where the system can arrange it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Worker:
    """A process that runs one workload of one peer on the plan's cores."""

    def __init__(self, peer: str, plan: Plan, cache: str) -> None:
        os.makedirs(cache, exist_ok=True)
        self.stderr = Path(cache) / "stderr"
        with self.stderr.open("w") as stderr, pinned(plan.cores):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", peer, plan.workload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env={**os.environ, **peers.environment(len(plan.cores), cache)},
            )

    def ask(self, command: str) -> Record:
        """The answer to `command`; PeerFailed if there is none within `ANSWER_WITHIN`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        timer = threading.Timer(ANSWER_WITHIN, self.process.kill)
        timer.start()
        try:
            print(command, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise PeerFailed(self.last_words())
        answer: Record = json.loads(line)
        return answer

    def last_words(self) -> str:
        """Why the process ended: the error of its traceback, or else its last line."""
        code = self.process.wait()
        lines = self.stderr.read_text().strip().splitlines() or ["no message"]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return (errors or lines)[-1] if code > 0 else f"signal {-code}: {lines[-1]}"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def largest_difference(values: Values, reference: Values) -> float:
    """The largest difference relative to the reference, or to its mean where it is close to 0."""
    differences = [0.0]
    for row, expected in zip(values, reference, strict=True):
        scale = mean(abs(e) for e in expected)
        differences += [
            abs(v - e) / max(abs(e), scale) for v, e in zip(row, expected, strict=True)
        ]
    return max(differences, key=lambda d: inf if isnan(d) else d)


@dataclass
class Contender:
    """A peer in the contest. Once a stage has failed, `record` holds the error and nothing else."""

    peer: str
    plan: Plan
    cache: str
    record: Record = field(default_factory=dict)
    worker: Worker | None = None
    times: list[float] = field(default_factory=list)

    def attempt(self, stage: Callable[..., Record], *arguments: Any) -> None:
        """Run a stage and keep what it measured, unless an earlier one has failed."""
        if "error" in self.record:
            return
        try:
            self.record |= stage(*arguments)
        except PeerFailed as failure:
            self.record = {"error": str(failure)}
            self.close()

    def start(self, reference: Values | None) -> Record:
        """The first five steps with an empty cache; PeerFailed where the results are wrong."""
        self.worker = Worker(self.peer, self.plan, self.cache)
        record = self.worker.ask("first")
        if reference is not None:
            record["difference"] = difference = largest_difference(record["values"], reference)
            if not difference <= TOLERANCE:
                raise PeerFailed(f"wrong: differs from {REFERENCE} by {difference:.2g}")
        return record

    def warm(self) -> Record:
        """The first steps of a second process, which finds the kernels of the first."""
        worker = Worker(self.peer, self.plan, self.cache)
        try:
            record = worker.ask("first")
        finally:
            worker.close()
        return {f"warm_{key}": record[key] for key in ("first_call", "first_five")}

    def round(self) -> Record:
        """One round of steps; the time of a step is the median of the rounds so far."""
        assert self.worker is not None
        record = self.worker.ask(f"round {self.plan.seconds}")
        self.times.append(record["step"])
        return {**record, "step": median(self.times), "rounds": self.times}

    def half(self) -> Record:
        """The first step at half the batch."""
        assert self.worker is not None
        return self.worker.ask("half")

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def contest(plan: Plan, names: Sequence[str]) -> dict[str, Record]:
    """The records of the named peers. Where PyTorch is installed it runs too, as the reference."""
    with tempfile.TemporaryDirectory(prefix="graphjit-bench-") as folder:
        contenders = [Contender(name, plan, os.path.join(folder, name)) for name in names]
        try:
            compete(plan, contenders)
        finally:
            for contender in contenders:
                contender.close()
    return {contender.peer: contender.record for contender in contenders}


def compete(plan: Plan, contenders: list[Contender]) -> None:
    """Take the contenders through all stages, in turns where their times are compared."""
    reference: Values | None = None
    for contender in contenders:
        contender.attempt(contender.start, reference)
        values = contender.record.pop("values", None)
        if contender.peer == REFERENCE:
            reference = values
        if plan.extras and contender.peer in peers.COMPILED:
            contender.attempt(contender.warm)
    for _ in range(plan.rounds):
        for contender in contenders:
            contender.attempt(contender.round)
    if plan.extras:
        for contender in contenders:
            contender.attempt(contender.half)
