"""The usual call of a variant, as one generated function: tests, run and effects in a row.

`Variant.matches`, `holds` and `replay` are the definition; a call that the generated function does
not recognise at once goes there. It is Python text, made once for each variant, because loops over
arguments and guards cost more than a small program takes to run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter, is_
from sys import getrefcount
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .call import LARGE, MARKS
from .guards import CHANGING, AbsenceGuard, ClassGuard, CodeGuard, Guard, HungGuard, SameGuard
from .mode import MODE
from .plain import PlainGuard
from .pytree import LEAF, takes_items
from .recording import Argument, Captured, Existing, Fresh, Number, NumberArgument, Output
from .state import VERSIONS
from .tensor import Tensor
from .waiting import WAITING

if TYPE_CHECKING:
    from .variant import Variant

#: what the generated function returns where the general way has to be gone
MISS: Any = object()

Usual = Callable[[tuple[Any, ...]], Any]


def usual_call(variant: Variant) -> Usual | None:
    """The function `(args) -> result or MISS`; None for a variant that does uncommon things."""
    recording, binding = variant.recording, variant.binding
    uncommon = (
        recording.effects, recording.assignments, recording.orders, recording.draws,
        recording.backward, binding.attributes, binding.numbers, variant.pinned, variant.grads,
        recording.aliases, recording.lacking, recording.unhooked,
    )  # fmt: skip
    if variant.plain is None or any(uncommon) or not all(map(_is_common, recording.outputs)):
        return None
    writer = _Writer(variant)
    text = "\n".join(writer.lines())
    exec(compile(text, "<usual call>", "exec"), writer.names)  # noqa: S102  (our own text)
    made: Usual = writer.names["call"]
    return made


def _is_common(out: Output) -> bool:
    if isinstance(out, Fresh):
        return out.chain is None
    if isinstance(out, Existing):
        return out.same and isinstance(out.source, (Argument, Captured))
    return isinstance(out, Number)


class Grads:
    """Gradients that a step leaves in `.grad`, whose memory the next step may use again.

    It may if nobody else has come to know them: a reference held anywhere shows in their counts.
    """

    def __init__(self, owners: list[Tensor], specs: list[tuple[Any, Any]]) -> None:
        self.owners = owners
        self.specs = specs
        self.tensors: list[Tensor] = []
        self.arrays: list[np.ndarray] = []

    def take(self) -> list[np.ndarray]:
        """Arrays for the gradients: those of the last step, or new ones."""
        held = map(is_, map(attrgetter("_grad"), self.owners), self.tensors)
        if self.tensors and all(held) and self.counted() == _alone():
            return self.arrays
        self.tensors = []
        self.arrays = [np.empty(shape, dtype) for shape, dtype in self.specs]
        return self.arrays

    def leave(self) -> None:
        """Put the arrays just taken into `.grad`."""
        if self.tensors:
            return
        tensors = [Tensor._of(array) for array in self.arrays]
        for owner, tensor in zip(self.owners, tensors, strict=True):
            owner._grad = tensor
        self.tensors = tensors

    def counted(self) -> tuple[set[int], set[int]]:
        """The numbers of references to the tensors, and to their arrays."""
        return set(map(getrefcount, self.tensors)), set(map(getrefcount, self.arrays))


@functools.cache
def _alone() -> tuple[set[int], set[int]]:
    """What is counted where nobody else knows of the gradients."""
    one = Grads([Tensor._of(np.zeros(()))], [((), np.dtype(float))])
    one.take()
    one.leave()
    return one.counted()


class _Writer:
    """Writes the text; `names` are the globals that it refers to."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.recording = variant.recording
        self.names: dict[str, Any] = {
            "MODE": MODE, "VERSIONS": VERSIONS, "VARIANT": variant, "MISS": MISS, "empty": np.empty,
            "array": np.array, "Tensor": Tensor, "new": object.__new__,
        }  # fmt: skip
        rows = variant.plain or []
        self.tensors = [f"t{i}" for i, row in enumerate(rows) if row[0] not in (None, *MARKS)]
        self.numbers = [f"t{i}" for i, row in enumerate(rows) if row[0] in MARKS]
        self.grads = self._grads()
        #: the names of nodes of used-up tapes
        self.ends: dict[Any, str] = {}

    def _grads(self) -> dict[int, Tensor]:
        """The gradients to be kept by `Grads`: output place -> owner."""
        results = len(self.recording.outputs) - sum(p is not None for _, p in self.recording.grads)
        found: dict[int, Tensor] = {}
        for owner, number in self.recording.grads:
            out = None if number is None or number < results else self.recording.outputs[number]
            plain = isinstance(out, Fresh) and not out.requires_grad
            if isinstance(out, Fresh) and plain and isinstance(owner, Tensor):
                found[out.place] = owner
        return found

    def name(self, thing: Any) -> str:
        """A global that holds `thing`."""
        name = f"k{len(self.names)}"
        self.names[name] = thing
        return name

    def lines(self) -> Iterator[str]:
        """The text of the function."""
        yield "def call(args):"
        yield from _indented(self._tests())
        yield from _indented(self._run())

    # --- tests ----------------------------------------------------------------------------------

    def _tests(self) -> Iterator[str]:
        variant, rows = self.variant, self.variant.plain or []
        yield f"if len(args) != {len(rows)}: return MISS"
        if rows:
            yield f"{', '.join(f't{i}' for i in range(len(rows)))}, = args"
        yield (
            f"if VERSIONS.structure != VARIANT.structure or VERSIONS.hyper != VARIANT.hyper or "
            f"MODE.grad is not {variant.grad_mode}: return MISS"
        )
        for i, row in enumerate(rows):
            yield from self._argument(f"t{i}", *row)
        for i, mine in enumerate(self.tensors):
            for other in self.tensors[:i]:
                yield f"if {mine}a is {other}a: return MISS"
        for mine in self.tensors if variant.strangers else ():
            yield f"if id({mine}) in {self.name(variant.strangers)}: return MISS"
        yield from self._guards()
        tensors = f"[{', '.join(self.tensors)}]"
        if self.recording.grads_absent:
            yield f"if not VARIANT.grads_fit({tensors}): return MISS"
        if variant.written and self.tensors:
            yield f"if not VARIANT.apart({tensors}): return MISS"

    def _argument(
        self, arg: str, kind: Any, shape: Any, strides: Any, dtype: Any, requires: Any, leaf: Any
    ) -> Iterator[str]:
        if kind is None:
            yield f"if {arg} is not {self.name(shape)}: return MISS"
            return
        yield f"if type({arg}) is not {self.name(kind)}: return MISS"
        if kind in MARKS:
            if kind is int:
                yield f"if not {-LARGE} < {arg} < {LARGE}: return MISS"
            return
        yield f"{arg}a = {arg}._array"
        yield (
            f"if {arg}a.shape != {self.name(shape)} or {arg}a.strides != {self.name(strides)} or "
            f"{arg}a.dtype is not {self.name(dtype)} or {arg}._requires_grad is not {requires} or "
            f"{arg}._grad_fn is {'not ' if leaf else ''}None or {arg}._hooks: return MISS"
        )

    def _guards(self) -> Iterator[str]:
        variant = self.variant
        for cell, thing, guard in variant.cells:
            yield "try:"
            yield (
                f"    if {self.name(cell)}.cell_contents is not {self.name(thing)} and "
                f"not {self.name(guard.holds)}(): return MISS"
            )
            yield "except ValueError: return MISS"
        for namespace, key, thing, guard in variant.globals:
            yield (
                f"if {self.name(namespace)}.get({key!r}, MISS) is not {self.name(thing)} and "
                f"not {self.name(guard.holds)}(): return MISS"
            )
        for other in variant.others:
            if isinstance(other, CodeGuard):
                yield from self._code(other)
            elif isinstance(other, AbsenceGuard):
                yield from self._absence(other)
            else:
                yield f"if {self._failed(other)}: return MISS"

    def _failed(self, guard: Guard | ClassGuard | PlainGuard | HungGuard | SameGuard) -> str:
        """The condition under which a guard on an object, or on an attribute, does not hold."""
        slow = f"not {self.name(guard.holds)}()"
        if isinstance(guard, PlainGuard):
            if guard.found:
                return slow
            return f"type({self.name(guard.thing)}) is not {self.name(guard.cls)}"
        if isinstance(guard, (ClassGuard, HungGuard, SameGuard)):
            return slow
        if guard.thing is CHANGING:
            return slow
        if isinstance(guard.container, (type, ModuleType)):
            space = self.name(vars(guard.container))
            return f"{space}.get({guard.key!r}, MISS) is not {self.name(guard.thing)} and {slow}"
        place = f"getattr({self.name(guard.container)}, {guard.key!r}, MISS)"
        return f"{place} is not {self.name(guard.thing)} and {slow}"

    def _code(self, guard: CodeGuard) -> Iterator[str]:
        for function, code in guard.codes:
            yield f"if {self.name(function)}.__code__ is not {self.name(code)}: return MISS"
        for (kind, name), method in guard.methods.items():
            yield f"if {self.name(kind)}.{name} is not {self.name(method)}: return MISS"

    def _absence(self, guard: AbsenceGuard) -> Iterator[str]:
        for _, keys, names in guard.rows.values():
            are_absent = self.name(keys.isdisjoint)
            yield f"if not {are_absent}({self.name(frozenset(names))}): return MISS"
        for _, keys, names in guard.complete.values():
            yield f"if {self.name(keys)} != {self.name(frozenset(names))}: return MISS"

    # --- the run, and what it leaves --------------------------------------------------------------

    def _run(self) -> Iterator[str]:
        outputs = []
        for place, spec in enumerate(self.variant.specs):
            outputs.append(f"o{place}")
            if place not in self.grads:
                yield f"o{place} = empty({self.name(spec[0])}, {self.name(spec[1])})"
        grads = None
        if self.grads:
            specs = [self.variant.specs[place] for place in self.grads]
            grads = self.name(Grads(list(self.grads.values()), specs))
            yield f"{', '.join(f'o{place}' for place in self.grads)}, = {grads}.take()"
        yield "try:"
        yield from _indented(self._try(outputs, grads))
        yield "except BaseException:"
        yield f"    VARIANT.recover([{', '.join(self.tensors)}], [{', '.join(outputs)}])"
        yield "    raise"

    def _try(self, outputs: list[str], grads: str | None) -> Iterator[str]:
        entry = self.name(self.variant.executable.entry())
        if self.variant.written:
            yield f"if {self.name(WAITING)}: VARIANT.about_to_run([{', '.join(self.tensors)}])"
        yield f"if {entry}({', '.join([*self._passed(), *outputs])}): return MISS"
        yield from self._effects(grads)
        yield "VARIANT.replays += 1"
        yield f"return {self._result()}"

    def _passed(self) -> Iterator[str]:
        for source, _ in self.variant.binding.passed:
            if isinstance(source, Argument):
                yield f"{self.tensors[source.position]}a"
            elif isinstance(source, NumberArgument):
                yield f"array({self.numbers[source.position]})"

    def _effects(self, grads: str | None) -> Iterator[str]:
        captured = [t._version for t in self.variant.versioned if isinstance(t, Tensor)]
        if captured:
            yield f"for version in {self.name(captured)}: version[0] += 1"
        for written in self.variant.versioned:
            if isinstance(written, int):
                yield f"{self.tensors[written]}._version[0] += 1"
        for number, out in enumerate(self.recording.outputs):
            if not isinstance(out, Fresh) or out.place not in self.grads:
                yield from self._output(f"r{number}", out)
        if grads is not None:
            yield f"{grads}.leave()"
        for owner, place in self.recording.grads:
            kept = None if place is None else self.recording.outputs[place]
            if not isinstance(kept, Fresh) or kept.place not in self.grads:
                target = self.tensors[owner] if isinstance(owner, int) else self.name(owner)
                yield f"{target}._grad = {None if place is None else f'r{place}'}"

    def _output(self, result: str, out: Output) -> Iterator[str]:
        if isinstance(out, Number):
            yield f"{result} = o{out.place}.item()"
        elif isinstance(out, Existing):
            source = out.source
            is_argument = isinstance(source, Argument)
            yield f"{result} = " + (
                self.tensors[source.position] if is_argument else self.name(source.tensor)  # type: ignore[union-attr]
            )
        elif isinstance(out, Fresh):
            yield f"{result} = new(Tensor)"
            yield f"{result}._array = o{out.place}"
            yield f"{result}._version = [0]"
            if out.requires_grad:
                yield f"{result}._requires_grad = True"
                end, number = out.tape
                if end is not None and end not in self.ends:
                    self.ends[end] = f"e{len(self.ends)}"
                    yield f"{self.ends[end]} = {self.name(end)}.twin()"
                yield f"{result}._grad_fn, {result}._output_number = {self.ends.get(end)}, {number}"

    def _result(self) -> str:
        """The tree of the result, as an expression."""
        leaves = (f"r{number}" for number in range(len(self.recording.outputs)))
        return self._tree(self.variant.result, leaves)

    def _tree(self, tree: Any, leaves: Iterator[str]) -> str:
        if tree is LEAF:
            return next(leaves)
        kind, content = tree
        if kind is None:
            return self.name(content)
        if kind is dict:
            items = [f"{self.name(key)}: {self._tree(item, leaves)}" for key, item in content]
            return f"{{{', '.join(items)}}}"
        items = [self._tree(item, leaves) for item in content]
        if kind is list:
            return f"[{', '.join(items)}]"
        text = ", ".join(items) + "," * (len(items) == 1)
        if kind is tuple:
            return f"({text})"
        return f"{self.name(kind)}(({text}))" if takes_items(kind) else f"{self.name(kind)}({text})"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
