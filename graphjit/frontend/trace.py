"""`@graphjit.trace`: record a function once, compile it, replay it while nothing has changed.

The only module that names all the stages: recorder, passes, code generation, runtime.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from types import CodeType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .. import config, progress
from ..errors import CheckFailed, TraceRefused, warn
from ..garbage import no_garbage_collection
from ..ir.graph import Graph
from .bound import bound
from .call import MARKS, Call
from .effects import ARGUMENTS, foresee, foresee_reached
from .finish import finish
from .functions_linear import trace as diagonal_sum
from .guards import Guard, Same, snapshot, tensors_reached
from .interpreted import Interpreted
from .libraries import TELL_APART
from .locks import new_lock
from .misses import miss_reason
from .mode import MODE
from .pytree import flatten
from .reads import Reads
from .recheck import rechecked
from .recorder import Recorder
from .recording import GuardPoint, Recording
from .report import Attempt, Report, announce
from .returned import Returned
from .state import CARRIED, GUARDED, VERSIONS, WRAPPERS, carry
from .stores import guard_stores
from .symnumber import name_types, settle, settled
from .tensor import Tensor
from .usual import MISS
from .variant import Executable, Stop, Variant, signature
from .watching import watching

if TYPE_CHECKING:
    from ..passes.pipeline import Stage
    from .profile import Profile

#: recordings in a row that change what they depend on (a module, an optimizer's state) before the
#: function is left to run eagerly
MAX_UNSETTLED = 4
#: kinds of arguments that are refused before the function is not tried any more
MAX_REFUSED = 16


class Traced:
    """A function that is recorded at its first call, compiled, and replayed at later ones.

    Attributes:
        __wrapped__: the function itself.
        parent: what was found on the class, for a method of one instance.
        children: the methods of the instances that live, for what was found on a class.
    """

    def __init__(self, function: Callable[..., Any], parent: Traced | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.parent = parent
        self.children: WeakSet[Traced] = WeakSet()
        self.name: str = getattr(function, "__qualname__", type(function).__qualname__)
        self.variants: dict[Hashable, list[Variant]] = {}
        self.last: Variant | None = None
        self.count = 0
        self.unsettled = 0
        self.misses = 0
        self.exact = False
        #: ints that were arguments, by position or name, and which of them have changed
        self.ints: dict[int | str, int] = {}
        self.counting: frozenset[int | str] = frozenset()
        self.eager_reason: str | None = None
        self.refused: dict[Hashable, str] = {}
        self.attempts: list[Attempt] = []
        self.recording = new_lock()
        self.stopped = config.get_bool("DISABLE")
        #: what the user has been told will end recordings
        self.foreseen: frozenset[str] = frozenset()
        self.known: set[CodeType] = set()
        if parent is not None:
            self.foreseen, self.known = parent.foreseen, parent.known
        elif not self.stopped:
            self.foreseen = foresee(function, self.known)
        self.checked = config.get_int("CHECK") >= 3
        self.max_variants = config.get_int("MAX_VARIANTS")
        self.max_branches = config.get_int("MAX_BRANCHES")

    def __deepcopy__(self, memo: dict[int, Any]) -> Traced:
        return Traced(copy.deepcopy(self.function, memo))

    def __reduce__(self) -> Any:
        if self.parent is not None:
            return (getattr, (self.function.__self__, self.__name__))  # type: ignore[attr-defined]
        found: Any = sys.modules.get(self.function.__module__)
        for name in self.name.split("."):
            found = getattr(found, name, None)
        return self.name if found is self else (Traced, (self.function,))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return bound(self, instance) or functools.partial(self, instance)

    def bind(self, instance: Any) -> Traced:
        """This as a method of `instance`."""
        child = Traced(MethodType(self.function, instance), self)
        self.children.add(child)
        return child

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.stopped or MODE.recorder is not None:
            return self.function(*args, **kwargs)
        last = self.last
        if last is not None and not kwargs:
            if last.usual is not None:
                result = last.usual(args)
                if result is not MISS:
                    return result
            found = last.matches(args)
            if found is not None and last.holds(found[0]):
                call = Call(args, kwargs, *found, self.counting)
                stop, result = self._replay(last, call)
                if stop is None:
                    return result
                return self._continue(last, stop, call, last.tree)
        return self._find(args, kwargs)

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replay the variant for these arguments, or record one."""
        call = Call(args, kwargs, [], [], self.counting)
        try:
            key = self._key(call)
            variants = self.variants.get(key, ())
        except (TraceRefused, TypeError) as refusal:
            self._refuse(None, f"an argument cannot be guarded: {refusal}")
            return self.function(*args, **kwargs)
        for variant in variants:
            if variant.holds(call.tensors):
                stop, result = self._replay(variant, call)
                if stop is not None:
                    return self._continue(variant, stop, call, key)
                self.last = variant
                return result
        if not self.exact and self._counts(call):
            return self._find(args, kwargs)
        return self._record(key, call, None)

    def _counts(self, call: Call) -> bool:
        """Whether an int is another one than in the call that was recorded before.

        From now on it is taken for one that may be another at each call, as floats are.
        """
        before = {slot: self.ints.setdefault(slot, value) for slot, value in call.ints()}
        changed = {slot for slot, value in call.ints() if before[slot] != value} - self.counting
        self.counting |= changed  # calls that are under way keep theirs
        return bool(changed)

    def _replay(self, variant: Variant, call: Call) -> tuple[Stop | None, Any]:
        if self.checked:
            eager = functools.partial(self.function, *call.args, **call.kwargs)
            return rechecked(variant, call.tensors, call.numbers, eager)
        stop, result = variant.replay(call.tensors, call.numbers)
        if stop is None:
            variant.expect_more()
        return stop, result

    def _key(self, call: Call) -> Hashable:
        """What variants are kept by: the arguments, but for elements of tensors and for numbers.

        Fills in the call's tensors and numbers.
        """
        call.numbers = [] if self.exact else call.given()
        call.tensors = []
        tree = flatten(call.masked(self.exact), call.tensors, _static)
        return (tree, signature(call.tensors))

    def _continue(self, variant: Variant, stop: Stop, call: Call, key: Hashable) -> Any:
        """Go on where a replay stopped: with a variant that saw the other value, or eagerly."""
        tried = {variant}
        while (place := stop.point) is not None:
            fits = [
                other for other in self.variants.get(key, ())
                if other not in tried and other.continues(variant, stop)
                and other.holds(call.tensors)
            ]  # fmt: skip
            if not fits:
                return self._record(key, call, variant.recording.points[place])
            fits.sort(key=lambda other: other.seen[place] != stop.seen)
            variant = fits[0]
            tried.add(variant)
            again, result = self._replay(variant, call)
            if again is None:
                self.last = variant
                return result
            stop = again
        return self.function(*call.args, **call.kwargs)

    # --- recording ------------------------------------------------------------------------------

    def _record(self, key: Hashable, call: Call, point: GuardPoint | None) -> Any:
        """Run the function eagerly while recording it; compile what was recorded.

        `point` is where a replay saw what none had seen there before.
        """
        if key in self.refused:
            return self.function(*call.args, **call.kwargs)
        if self.count >= self.max_variants:
            return self._run_unrecorded(call, point, "MAX_VARIANTS")
        if point is not None and len(self.variants[key]) >= self.max_branches:
            return self._run_unrecorded(call, point, "MAX_BRANCHES")
        if not self.recording.acquire(blocking=False):  # by another thread: it will do for both
            return self.function(*call.args, **call.kwargs)
        try:
            return self._record_alone(key, call, point)
        finally:
            self.recording.release()

    def _record_alone(self, key: Hashable, call: Call, point: GuardPoint | None) -> Any:
        if point is None:
            miss = miss_reason(key, itertools.chain(*self.variants.values()), call.tensors)
        else:
            miss = f"another value than before at {point.describe()}"
        recorder, reads = Recorder(call.tensors), Reads()
        structure = VERSIONS.structure
        start = time.perf_counter()
        try:
            key, result = self._run(key, call, recorder, reads)
        except Exception:
            if not recorder.told_apart:
                raise
            if not self._has_left_all(key, call, recorder, reads, structure):
                self.exact = True
                raise
            result = MISS
        if result is MISS:  # it may have told a symbol from a number: once more, without them
            result = self.function(*call.args, **call.kwargs)
            self.exact = True
            return result
        self.known.update(f.__code__ for f in recorder.told_functions if hasattr(f, "__code__"))
        self.foreseen |= foresee_reached((f for f, _ in reads.code.codes), self.known)
        attempt = Attempt(key, time.perf_counter() - start, miss)
        self.attempts.append(attempt)
        finished = self._finish(attempt, call, recorder, reads, result, structure)
        settle(recorder.symbols)
        result = settled(result)
        if finished is not None:
            self._compile(key, call, *finished, reads, attempt)
        return result

    def _run(
        self, key: Hashable, call: Call, recorder: Recorder, reads: Reads
    ) -> tuple[Hashable, Any]:
        """Call the function while recording it; returns what variants are kept by, and its result.

        An error leaves no symbols behind.
        """
        MODE.recorder = recorder
        try:
            with watching(GUARDED, reads):
                reads.call(self.function, (call.args, call.kwargs))
                if not self.exact and reads.names & TELL_APART:
                    self.exact = True
                    key = self._key(call)
                recorder.exact |= self.exact
                args, kwargs = call.symbolic(recorder)
                result = self.function(*args, **kwargs)
        except BaseException as error:
            MODE.recorder = None
            recorder.told_apart = name_types(error, recorder.symbols)
            settle(recorder.symbols)
            raise
        MODE.recorder = None
        return key, result

    def _has_left_all(
        self, key: Any, call: Call, recorder: Recorder, reads: Reads, structure: int
    ) -> bool:
        """Whether a call that failed has changed nothing: it can be made again."""
        return (
            not recorder.changes
            and not recorder.draws
            and recorder.refusal is None
            and reads.refusal is None
            and VERSIONS.structure == structure
            and reads.changed(()) is None
            and not _has_changed(call, key, self.exact)
        )

    def _finish(
        self,
        attempt: Attempt,
        call: Call,
        recorder: Recorder,
        reads: Reads,
        result: Any,
        structure: int,
    ) -> tuple[Recording, Any] | None:
        """The finished recording and the tree of its result; None if it is not to be compiled."""
        for hook in recorder.hooks():
            reads.hook(hook)
        try:
            leaves: list[Any] = []
            results = Returned(recorder, reads)
            tree = flatten(result, leaves, results.static, results.attributes, results.stays)
            for tensor in recorder.met():
                reads.meets(tensor)
            guard_stores(reads, recorder.assigned)
            if reads.refusal is not None:
                recorder.refuse(reads.refusal)
            kept = _carried(recorder, reads)
            outside = tensors_reached((*reads.structural, *reads.always), attempt.key)
            recording = finish(recorder, leaves, outside)
        except TraceRefused as refusal:
            attempt.reason = str(refusal)
            by_reads = attempt.reason.startswith(reads.refusal or "\n")
            self._refuse(attempt.key, attempt.reason, reads.about if by_reads else "")
            return None
        if recorder.told:
            reads.forget_told(recorder.told_functions)
        changed = reads.changed(recorder.assigned)
        if VERSIONS.structure != structure:
            changed = "the structure of a module or an optimizer"
        if changed is None and _has_changed(call, attempt.key, self.exact):
            changed = ARGUMENTS
        if not recorder.exact and reads.names & TELL_APART:
            self.exact, changed = True, "how it looks at numbers"
        if changed is None:
            reads.always += kept
            carry(recorder.assigned)
            return recording, tree
        self._unsettled(attempt, changed)
        return None

    def _unsettled(self, attempt: Attempt, changed: str) -> None:
        """The call itself changed what it depends on: the next call is recorded."""
        attempt.reason = f"the call changed {changed}"
        self.unsettled += 1
        if self.unsettled >= MAX_UNSETTLED:
            self._refuse(attempt.key, f"every call changes {changed}", changed)

    def _compile(
        self,
        key: Hashable,
        call: Call,
        recording: Recording,
        tree: Any,
        reads: Reads,
        attempt: Attempt,
    ) -> None:
        start = time.perf_counter()
        try:
            with progress.shown(f"compiling {self.name}"):
                executable = build(recording, attempt)
        except Exception as error:
            if config.get_bool("STRICT"):
                raise
            self._refuse(key, f"it could not be compiled: {type(error).__name__}: {error}")
            return
        attempt.compile_seconds = time.perf_counter() - start
        args = None if call.kwargs else call.masked(self.exact)[0]
        variant = Variant(
            key, call.tensors, args, recording, executable, reads.structural, reads.always, tree
        )
        attempt.variant = variant
        self.last = variant
        self.variants.setdefault(key, []).insert(0, variant)
        self.count += 1
        self.unsettled = 0
        announce(self.name, attempt, call.tensors, call.numbers)

    # --- running eagerly ------------------------------------------------------------------------

    def _run_unrecorded(self, call: Call, point: GuardPoint | None, limit: str) -> Any:
        """Run a call for which there is no variant, and no room for one, by the knob `limit`."""
        where = "" if point is None else f"; the last at {point.describe()}"
        reason = f"more variants than GRAPHJIT_{limit}={config.get_int(limit)}{where}"
        if not self.misses:
            self.eager_reason = reason
            warn(f"{self.name} runs eagerly where nothing compiled fits: {reason}")
        self.misses += 1
        if self.misses > self.count and 2 * self.misses > self._replays():
            self._stop()
        return self.function(*call.args, **call.kwargs)

    def _replays(self) -> int:
        return sum(v.replays for variants in self.variants.values() for v in variants)

    def _refuse(self, key: Hashable, reason: str, about: str = "") -> None:
        """Calls with this key run eagerly, unless a variant that is there fits; say so once.

        `about` is what the reason lies in. If the decorator has warned of it, that is enough.
        """
        self.refused[key] = reason
        told = not self.foreseen.isdisjoint((about, about[about.rfind(".") :]))
        if (self.parent or self).eager_reason is None and not told:
            warn(f"{self.name} runs eagerly: {reason}")
        self.eager_reason = reason
        if self.parent is not None:
            self.parent.eager_reason = reason
        if len(self.refused) >= MAX_REFUSED:
            self.max_variants = self.count
            if not self.count:
                self._stop()

    def _stop(self) -> None:
        """Run eagerly for good."""
        self.stopped = True
        self.variants.clear()
        self.last = None

    # --- what the user can ask ------------------------------------------------------------------

    @property
    def graph(self) -> Graph | None:
        """The optimised graph compiled last; None before the first compile."""
        compiled = Report(self).compiled
        return compiled[-1].optimised() if compiled else None

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

        call = Call(args, kwargs, [], [], self.counting)
        for variant in self.variants.get(self._key(call), ()):
            if variant.holds(call.tensors):
                try:
                    return profile(self.name, variant, call.tensors, call.numbers)
                except CheckFailed:  # Python would see other values than this variant saw
                    continue
        reason = self.eager_reason or "call it with them first"
        raise RuntimeError(f"{self.name} is not compiled for these arguments: {reason}")


WRAPPERS[Traced] = frozenset(vars(Traced(len)))


def build(recording: Recording, attempt: Attempt) -> Executable:
    """What runs a recording: as another process has stored it, or else compiled here."""
    compiled = _interpreted if config.get_str("BACKEND") == "interp" else _compiled
    if recording.backward is not None:
        recording.backward.compile = compiled
    attempt.optimise = functools.partial(_optimised, recording.graph)
    return compiled(recording.graph, recording.strides, attempt)


def _interpreted(
    graph: Graph, strides: Sequence[tuple[int, ...]], attempt: Attempt | None = None
) -> Executable:
    return Interpreted(_optimised(graph) if attempt is None else attempt.optimised())


def _compiled(
    graph: Graph, strides: Sequence[tuple[int, ...]], attempt: Attempt | None = None
) -> Executable:
    # Loaded here, so that importing graphjit does not load the compiler.
    from ..codegen import stored

    with no_garbage_collection():
        key = stored.key_of(graph, strides)
        found = stored.load(key, graph)
        if found is None:
            from ..codegen.assemble import assemble

            optimised = _optimised(graph) if attempt is None else attempt.optimised()
            found = assemble(optimised, strides)
            stored.save(key, found)
    return found


def _optimised(graph: Graph, stages: list[Stage] | None = None) -> Graph:
    from ..passes import pipeline

    return pipeline.run(graph, stages)


def _carried(recorder: Recorder, reads: Reads) -> list[Guard]:
    """Make inputs of tensors found in attributes that the call, or another one, then assigned.

    Returns guards on what else was found there, which the call itself has changed.
    """
    guards = []
    for key, owner in recorder.assigned.items():
        guard = reads.forget(key)
        if guard is None:
            continue
        found = _tensor_found(guard)
        if found is None:
            guards.append(guard)
        elif reads.looks_into(found):
            recorder.refuse(f"{guard.name} is assigned, and holds a tensor with attributes")
        elif not recorder.carry(owner, guard.key, found, signature([found])):
            recorder.refuse(f"{guard.name} is assigned, and holds a tensor with a part elsewhere")
    for guard in reads.on_attributes(CARRIED):
        found = _tensor_found(guard)
        if found is None or reads.looks_into(found):
            continue
        if recorder.carry(guard.container, guard.key, found, signature([found])):
            reads.always.remove(guard)
    return guards


def _tensor_found(guard: Guard) -> Tensor | None:
    found = guard.expected.thing if isinstance(guard.expected, Same) else None
    return found if isinstance(found, Tensor) else None


def _has_changed(call: Call, key: Any, exact: bool) -> bool:
    """Whether a call has changed what is in its arguments: lists, dicts, objects."""
    tensors: list[Tensor] = []
    try:
        tree = flatten(call.masked(exact), tensors, _static)
    except (TraceRefused, TypeError):
        return True
    found = [id(tensor) for tensor in tensors]
    return tree != key[0] or found != [id(tensor) for tensor in call.tensors]


def _static(value: Any) -> Hashable:
    """The part of the key that an argument other than a tensor makes."""
    kind = type(value)
    if kind is object and value in MARKS.values():
        return (value,)
    if kind is int or kind is bool or kind is str or value is None:
        return (kind, value)
    return snapshot(value)


def trace(function: Any = None) -> Any:
    """Decorator: capture the function's tensor program once, and run it as one native call.

    The first call with a new kind of arguments runs eagerly and is recorded: forward, backward and
    optimizer steps alike. Later calls replay the compiled program, as long as nothing that Python
    could notice has changed; learning rates and other optimizer floats are read anew each time.
    What cannot be captured runs eagerly, and `explain()` says why. The function's code is looked
    through for effects that replays will not repeat - printing, files, the network, the clock,
    other random numbers than graphjit's, changes to lists and variables from outside - and each
    gives a `TraceWarning` at its line; `graphjit.debug` has what replays do repeat.

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
