"""`@graphjit.trace`: record a function once, compile it, replay it while nothing has changed.

The only module that names all the stages: recorder, passes, code generation, runtime.
"""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from .. import config, progress
from ..errors import TraceRefused
from ..ir.graph import Graph
from .functions_linear import trace as diagonal_sum
from .garbage import no_garbage_collection
from .guards import SCALARS, is_opaque, snapshot
from .interpreted import Interpreted
from .misses import miss_reason
from .mode import MODE
from .pytree import flatten
from .reads import Reads, watching
from .recorder import Recorder, Recording
from .report import Attempt, Report, announce
from .state import GUARDED, VERSIONS
from .tensor import Tensor
from .variant import Executable, Variant, signature

if TYPE_CHECKING:
    from .profile import Profile

#: recordings in a row that change what they depend on (a module, an optimizer's state) before the
#: function is left to run eagerly
MAX_UNSETTLED = 4


class Traced:
    """A function that is recorded at its first call, compiled, and replayed at later ones.

    Attributes:
        __wrapped__: the function itself.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = getattr(function, "__qualname__", type(function).__qualname__)
        self.variants: dict[Hashable, list[Variant]] = {}
        self.last: Variant | None = None
        self.count = 0
        self.unsettled = 0
        self.eager_reason: str | None = None
        self.attempts: list[Attempt] = []
        self.disabled = config.get_bool("DISABLE")
        self.max_variants = config.get_int("MAX_VARIANTS")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.disabled or MODE.recorder is not None or self.eager_reason is not None:
            return self.function(*args, **kwargs)
        last = self.last
        if last is not None and not kwargs:
            found = last.matches(args)
            if found is not None and last.holds(found):
                done, result = last.replay(found)
                return result if done else self.function(*args)
        return self._find(args, kwargs)

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replay the variant for these arguments, or record one."""
        tensors: list[Tensor] = []
        try:
            tree = flatten((args, kwargs), tensors, _static)
            key = (tree, signature(tensors))
            variants = self.variants.get(key, ())
        except (TraceRefused, TypeError) as refusal:
            self._stay_eager(f"an argument cannot be guarded: {refusal}")
            return self.function(*args, **kwargs)
        for variant in variants:
            if variant.holds(tensors):
                self.last = variant
                done, result = variant.replay(tensors)
                return result if done else self.function(*args, **kwargs)
        return self._record(key, tensors, args, kwargs)

    # --- recording ------------------------------------------------------------------------------

    def _record(self, key: Hashable, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Run the function eagerly while recording it; compile what was recorded."""
        if self.count >= self.max_variants:
            self._stay_eager(f"more than {self.max_variants} variants (GRAPHJIT_MAX_VARIANTS)")
            return self.function(*args, **kwargs)
        miss = miss_reason(key, itertools.chain(*self.variants.values()), tensors)
        recorder, reads = Recorder(tensors), Reads()
        structure = VERSIONS.structure
        start = time.perf_counter()
        MODE.recorder = recorder
        try:
            with watching(GUARDED, reads):
                reads.call(self.function, (args, kwargs))
                result = self.function(*args, **kwargs)
        finally:
            MODE.recorder = None
        for hook in recorder.hooks():
            reads.function(hook)
        attempt = Attempt(key, time.perf_counter() - start, miss)
        self.attempts.append(attempt)
        try:
            leaves: list[Tensor] = []
            tree = flatten(result, leaves, functools.partial(_returned, recorder))
            if reads.refusal is not None:
                recorder.refuse(reads.refusal)
            recording = recorder.finish(leaves)
        except TraceRefused as refusal:
            attempt.reason = str(refusal)
            self._stay_eager(str(refusal))
            return result
        changed = next((guard.name for guard in reads.always if not guard.holds()), None)
        if VERSIONS.structure != structure:
            changed = "the structure of a module or an optimizer"
        if changed is not None:
            self._unsettled(attempt, changed)
            return result
        self._compile(key, tensors, None if kwargs else args, recording, reads, tree, attempt)
        return result

    def _unsettled(self, attempt: Attempt, changed: str) -> None:
        """The call itself changed what it depends on: the next call is recorded."""
        attempt.reason = f"the call changed {changed}"
        self.unsettled += 1
        if self.unsettled >= MAX_UNSETTLED:
            self._stay_eager(f"every call changes {changed}")

    def _compile(
        self,
        key: Hashable,
        tensors: list[Tensor],
        args: tuple[Any, ...] | None,
        recording: Recording,
        reads: Reads,
        tree: Any,
        attempt: Attempt,
    ) -> None:
        start = time.perf_counter()
        try:
            with progress.shown(f"compiling {self.name}"):
                graph, executable = build(recording, attempt)
        except Exception as error:
            if config.get_bool("STRICT"):
                raise
            self._stay_eager(f"it could not be compiled: {type(error).__name__}: {error}")
            return
        attempt.compile_seconds = time.perf_counter() - start
        variant = Variant(
            key, tensors, args, recording, executable, reads.structural, reads.always, tree
        )
        attempt.graph, attempt.variant = graph, variant
        self.last = variant
        self.variants.setdefault(key, []).insert(0, variant)
        self.count += 1
        self.unsettled = 0
        announce(self.name, attempt, tensors)

    def _stay_eager(self, reason: str) -> None:
        self.eager_reason = reason
        self.variants.clear()
        self.last = None
        warnings.warn(
            f"{self.name} runs eagerly from now on: {reason}", stacklevel=4
        )

    # --- what the user can ask ------------------------------------------------------------------

    @property
    def graph(self) -> Graph | None:
        """The optimised graph compiled last; None before the first compile."""
        graphs = [a.graph for a in self.attempts if a.graph is not None]
        return graphs[-1] if graphs else None

    def explain(self) -> str:
        """Variants, kernels, host calls with reasons, and times, as text."""
        return Report(self).text()

    def kernels(self) -> dict[str, str]:
        """Source of each generated kernel, by name."""
        return Report(self).kernels()

    def stats(self) -> dict[str, Any]:
        """Counts: variants, replays, kernels, host calls, seconds spent compiling."""
        return Report(self).stats()

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Time each instruction of the program for these arguments, on copies: nothing changes.

        RuntimeError if the function has not been compiled for them: call it with them first.
        """
        from .profile import profile

        tensors: list[Tensor] = []
        key = (flatten((args, kwargs), tensors, _static), signature(tensors))
        for variant in self.variants.get(key, ()):
            if variant.holds(tensors):
                return profile(self.name, variant, tensors)
        reason = self.eager_reason or "call it with them first"
        raise RuntimeError(f"{self.name} is not compiled for these arguments: {reason}")


def build(recording: Recording, attempt: Attempt) -> tuple[Graph, Executable]:
    """Optimise a recording, and make what runs it, as `GRAPHJIT_BACKEND` says."""
    # Loaded here, so that importing graphjit does not load the compiler.
    from ..codegen.assemble import assemble
    from ..passes import pipeline

    with no_garbage_collection():
        graph = pipeline.run(recording.graph, attempt.stages)
        if config.get_str("BACKEND") == "interp":
            return graph, Interpreted(graph)
        return graph, assemble(graph, recording.strides)


def _static(value: Any) -> Hashable:
    """The part of the key that an argument other than a tensor makes."""
    kind = type(value)
    if kind is int or kind is bool or kind is str or value is None:
        return (kind, value)
    return snapshot(value)


def _returned(recorder: Recorder, value: Any) -> Any:
    if not isinstance(value, SCALARS) and not is_opaque(value):
        recorder.refuse(f"a result of type {type(value).__name__} cannot be made anew")
    return value


def trace(function: Any = None) -> Any:
    """Decorator: capture the function's tensor program once, and run it as one native call.

    The first call with a new kind of arguments runs eagerly and is recorded: forward, backward and
    optimizer steps alike. Later calls replay the compiled program, as long as nothing that Python
    could notice has changed; learning rates and other optimizer floats are read anew each time.
    What cannot be captured runs eagerly, and `explain()` says why.

    Given a tensor, returns the sum of its diagonal, as PyTorch's function of this name does.

    Raises:
        TypeError: `function` is not callable.
    """
    if isinstance(function, Tensor):
        return diagonal_sum(function)
    if function is None:
        return trace
    if not callable(function):
        raise TypeError(f"trace() takes a function, got {type(function).__name__}")
    return Traced(function)
