"""One peer running one workload, in a process of its own.

Reads one command a line from standard input (`first`, `round SECONDS`, `half`) and answers each
with one line of JSON. An error ends it, with the traceback on standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from time import perf_counter
from typing import Any

import numpy as np

from . import peers
from .workloads import WORKLOADS, Arrays

CHECKED_STEPS = 5
SAMPLE = 997  # elements of an output that are compared; a prime, so as to meet every column
SHORTEST_ROUND = 3  # steps


class Session:
    """The state between commands: the peer's step and its batch."""

    def __init__(self, peer: str, workload: str) -> None:
        T = peers.load(peer)
        self.arrays: Arrays = WORKLOADS[workload].data()
        self.imported = peak_memory()
        self.runner = peers.build(peer, T, workload)
        self.batch = [self.runner.to_tensor(array) for array in self.arrays]

    def first(self) -> dict[str, Any]:
        """The first five steps: their results, and how long the first one and all five took."""
        results, seconds = [], []
        for _ in range(CHECKED_STEPS):
            began = perf_counter()
            results.append(self.runner.step(*self.batch))
            seconds.append(perf_counter() - began)
        values = [sample(self.runner.to_array(result)) for result in results]
        return {
            "values": values,
            "first_call": seconds[0],
            "first_five": sum(seconds),
            "imported": self.imported,
        }

    def round(self, seconds: str) -> dict[str, Any]:
        """Steps for so many seconds: the median time of a step, and the peak memory so far."""
        step, batch, times = self.runner.step, self.batch, []
        end = perf_counter() + float(seconds)
        while perf_counter() < end or len(times) < SHORTEST_ROUND:
            began = perf_counter()
            step(*batch)
            times.append(perf_counter() - began)
        return {"step": float(np.median(times)), "memory": peak_memory() - self.imported}

    def half(self) -> dict[str, Any]:
        """The first step at half the batch."""
        batch = [self.runner.to_tensor(array[: len(array) // 2]) for array in self.arrays]
        began = perf_counter()
        self.runner.step(*batch)
        return {"half_batch": perf_counter() - began}


def sample(array: np.ndarray) -> list[float]:
    """At most about `SAMPLE` elements, evenly spread."""
    flat = np.asarray(array).ravel()
    return [float(value) for value in flat[:: max(1, flat.size // SAMPLE)]]


def peak_memory() -> float:
    """The largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(peer: str, workload: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a peer prints must not mix with the answers
    peers.flush_denormals()
    session = Session(peer, workload)
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(session, command)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
