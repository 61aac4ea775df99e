"""Numbers of a recording that are other ones at each replay: `.item()`, and number arguments.

A `SymNumber` stands for a Python int or float. Arithmetic on it is recorded as float64 or int64 ops
on a 0-d tensor; a comparison is a guard point for its outcome; whatever needs the number itself
(`math.sqrt`, `range`, text, a hash) is a guard point for its exact value, after which it is a plain
number. What is computed is what Python computes: where int64 could overflow, or a division raise, a
check ends the replay.
"""

from __future__ import annotations

import dis
import functools
import gc
import operator
from collections import deque
from collections.abc import Callable, Iterator
from sys import getrefcount
from types import CellType, FrameType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from .. import dtypes
from .mode import MODE
from .plain import Layout
from .tape import UNWRITTEN

if TYPE_CHECKING:
    from .recorder import Recorder
    from .tensor import Tensor

#: factors of int64 products, and terms of sums, stay below these
MAX_FACTOR, MAX_TERM = 1 << 31, 1 << 61
#: integers below this are exact as floats
MAX_EXACT = 1 << 53
#: quotients of floats below this are rounded down to the integer that Python finds
MAX_QUOTIENT = 1 << 50
#: powers of ints with exponents up to this are recorded, as products
MAX_EXPONENT = 4
#: what holds items that cannot be exchanged
FIXED = (tuple, frozenset, slice)


class SymNumber:
    """A number with a place in the recording. `isinstance` takes it for what it stands for.

    Attributes:
        value: the number in this call.
        tensor: its place in the recording, a 0-d float64 or int64 tensor; None once it is plain.
    """

    __slots__ = ("value", "tensor", "recorder")

    def __init__(self, value: float, tensor: Tensor, recorder: Recorder) -> None:
        self.value = value
        self.tensor: Tensor | None = tensor
        self.recorder = recorder
        recorder.symbols.append(self)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.value)

    @property
    def is_live(self) -> bool:
        """Whether what is done with it is still recorded."""
        return (
            self.tensor is not None
            and MODE.recorder is self.recorder
            and self.recorder.refusal is None
        )

    def plain(self) -> Any:
        """The number, which Python now sees: a guard point for its exact value."""
        if self.is_live:
            assert self.tensor is not None
            self.recorder.guard_elements(self.tensor)
            self.tensor = None
        return self.value

    def below(self, limit: int) -> bool:
        """Whether its magnitude is below `limit`, now and, by a check, at each replay."""
        if not -limit < self.value < limit:
            return False
        if not self.is_live:
            return True
        assert self.tensor is not None
        F = _ops()  # no abs: the least int64 has none
        self.recorder.require(F.logical_and(F.gt(self.tensor, -limit), F.lt(self.tensor, limit)))
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            kind = type(self.value).__name__
            raise AttributeError(f"'{kind}' object has no attribute '{name}'")
        return getattr(self.plain(), name)

    def __setitem__(self, key: Any, value: Any) -> None:
        kind = type(self.value).__name__
        raise TypeError(f"'{kind}' object does not support item assignment")

    def __delitem__(self, key: Any) -> None:
        raise TypeError(f"'{type(self.value).__name__}' object does not support item deletion")

    def __reduce__(self) -> Any:
        return type(self.value), (self.plain(),)

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __complex__(self) -> complex:
        return complex(self.plain())

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        return np.asarray(self.plain(), dtype)

    def __bool__(self) -> bool:
        if self.is_live:
            assert self.tensor is not None
            self.recorder.guard_truth(self.tensor, bool(self.value))
        return bool(self.value)

    def __hash__(self) -> int:
        return hash(self.plain())


def plain(value: Any) -> Any:
    """`value` with numbers in place of the symbols in it, tuples, lists and slices included."""
    kind = type(value)
    if kind is SymNumber:
        return value.plain()
    if kind is slice:
        return slice(*map(plain, _parts(value)))
    if kind in (tuple, list):
        return kind(map(plain, value))
    return value


def settle(symbols: list[SymNumber]) -> None:
    """Put plain numbers wherever Python code has kept symbols of a recording that has ended."""
    for symbol in symbols:
        symbol.tensor = None
    # The list's reference, the loop's, and getrefcount's own argument make three.
    replaced: dict[int, Any] = {id(s): s.value for s in symbols if getrefcount(s) > 3}
    kept: list[Any] = [s for s in symbols if id(s) in replaced]
    while kept:
        found: list[Any] = []
        for holder in gc.get_referrers(*kept):
            if holder is kept or holder is symbols or holder is found:
                continue
            if isinstance(holder, FIXED):
                if id(holder) not in replaced:
                    parts = [replaced.get(id(item), item) for item in _parts(holder)]
                    replaced[id(holder)] = _remade(holder, parts)
                    found.append(holder)
            else:
                _replace_in(holder, replaced)
        kept = found


def _parts(holder: Any) -> Any:
    """The items of a tuple, of a frozenset, or of a slice."""
    return (holder.start, holder.stop, holder.step) if type(holder) is slice else holder


def _remade(holder: Any, parts: list[Any]) -> Any:
    """What cannot be changed, made anew of other items."""
    if type(holder) is slice:
        return slice(*parts)
    base: Any = tuple if isinstance(holder, tuple) else frozenset
    made = base.__new__(type(holder), parts)
    for name, value in getattr(holder, "__dict__", {}).items():
        vars(made)[name] = value
    return made


def _replace_in(holder: Any, replaced: dict[int, Any]) -> None:
    """Exchange the items of a container, or the attributes of an object."""
    if isinstance(holder, (list, deque)):
        for i, item in enumerate(holder):
            if id(item) in replaced:
                holder[i] = replaced[id(item)]
    elif isinstance(holder, set):
        for item in [item for item in holder if id(item) in replaced]:
            set.remove(holder, item)
            set.add(holder, replaced[id(item)])
    elif isinstance(holder, CellType):
        holder.cell_contents = replaced.get(id(holder.cell_contents), holder.cell_contents)
    elif not isinstance(holder, FrameType):
        if isinstance(holder, BaseException):
            _replace_in_error(holder, replaced)
        fields = holder if isinstance(holder, dict) else getattr(holder, "__dict__", {})
        pairs = [(replaced.get(id(k), k), replaced.get(id(v), v)) for k, v in fields.items()]
        _refill(fields, pairs)
        for name in Layout.of(type(holder)).slots:
            item = getattr(holder, name, None)
            if id(item) in replaced:
                object.__setattr__(holder, name, replaced[id(item)])


def _replace_in_error(error: BaseException, replaced: dict[int, Any]) -> None:
    """Exchange the arguments of an exception, and what its class keeps elsewhere: `.value`."""
    error.args = replaced.get(id(error.args), error.args)
    for cls in type(error).__mro__:
        for name, place in vars(cls).items():
            if isinstance(place, MemberDescriptorType):
                item = getattr(error, name, None)
                if id(item) in replaced:
                    setattr(error, name, replaced[id(item)])


def _refill(fields: dict[Any, Any], pairs: list[tuple[Any, Any]]) -> None:
    """Have a dict hold equal keys, in the same order, and other values."""
    if any(new is not key for key, (new, _) in zip(fields, pairs, strict=True)):
        dict.clear(fields)
    for key, item in pairs:
        if dict.get(fields, key, fields) is not item:
            dict.__setitem__(fields, key, item)


def name_types(error: BaseException, symbols: list[SymNumber]) -> bool:
    """Have the messages of an error name the type that was stood for; whether any names this one.

    It may have been raised because of another one, as by a library that catches TypeErrors.
    """
    found = False
    for each in _chain(error) if symbols else ():
        if any(type(text) is str and "SymNumber" in text for text in each.args):
            named = {type(symbol.value).__name__ for symbol in _named_where(each)}
            kind = named.pop() if len(named) == 1 else type(symbols[-1].value).__name__
            each.args = tuple(_renamed(text, kind) for text in each.args)
            found = True
    return found


def _renamed(text: Any, kind: str) -> Any:
    return text.replace("SymNumber", kind) if type(text) is str else text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised because of, or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _named_where(error: BaseException) -> list[SymNumber]:
    """The symbols held by variables that are named in the expression that raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return []
    steps = list(dis.get_instructions(trace.tb_frame.f_code))
    failed = next((_extent(step) for step in steps if step.offset == trace.tb_lasti), None)
    if failed is None:
        return []
    begin, end = failed
    extents = [(step.argval, _extent(step)) for step in steps]
    names = {name for name, e in extents if e is not None and begin <= e[0] and e[1] <= end}
    variables = trace.tb_frame.f_locals.items()
    return [x for name, x in variables if name in names and type(x) is SymNumber]


def _extent(step: dis.Instruction) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Where the source of an instruction begins and ends; None if that is not known."""
    if step.positions is None or None in step.positions:
        return None
    line, end_line, column, end_column = (int(n or 0) for n in step.positions)
    return (line, column), (end_line, end_column)


def settled(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A result with plain numbers in place of symbols; lists and dicts stay the same objects.

    `around` are the ids of the containers that it is in: one may be in itself.
    """
    kind = type(value)
    if kind is SymNumber:
        return value.value
    if id(value) in around:
        return value
    around = (*around, id(value))
    if isinstance(value, FIXED):
        parts = _parts(value)
        found = [settled(part, around) for part in parts]
        if all(a is b for a, b in zip(found, parts, strict=True)):
            return value
        return _remade(value, found)
    if kind is list:
        value[:] = [settled(item, around) for item in value]
    elif kind is dict:
        _refill(value, [(settled(key), settled(item, around)) for key, item in value.items()])
    return value


def as_tensor(number: SymNumber, dtype: dtypes.DType) -> Tensor:
    """A live symbol as a 0-d tensor of `dtype`; to the tape, it is a number."""
    cast: Tensor = _ops().cast(number.tensor, dtype=dtype)
    cast._version = UNWRITTEN
    return cast


def _ops() -> Any:
    from .tape import TENSORS

    return TENSORS


# --- arithmetic -----------------------------------------------------------------------------------

Operation = Callable[[Any, Any], Any]


def _arithmetic(
    name: str, compute: Operation, fits: Operation, record: Callable[[Any, Any, Any], Any]
) -> None:
    """Give SymNumber the operators `__name__` and `__rname__`."""

    def forward(self: SymNumber, other: Any) -> Any:
        return _combined(self, other, compute, fits, record)

    def backward(self: SymNumber, other: Any) -> Any:
        return _combined(other, self, compute, fits, record)

    setattr(SymNumber, f"__{name}__", forward)
    setattr(SymNumber, f"__r{name}__", backward)


def _combined(
    x: Any,
    y: Any,
    compute: Operation,
    fits: Operation,
    record: Callable[[Any, Any, Any], Any],
) -> Any:
    """`compute(x, y)`, symbolic where both are numbers and the recorded ops surely agree."""
    if not (_is_number(x) and _is_number(y)):
        return NotImplemented if _defers(x, y) else compute(plain(x), plain(y))
    try:
        value = compute(_value(x), _value(y))
    except ArithmeticError:
        plain(x), plain(y)
        raise
    symbol = x if type(x) is SymNumber else y
    if not (_is_usable(x) and _is_usable(y) and fits(x, y)):
        plain(x), plain(y)
        return value
    dtype = dtypes.int64 if type(value) is int else dtypes.float64
    result = record(_ops(), _operand(x, dtype), _operand(y, dtype))
    return _symbol(value, result, symbol.recorder)


def _symbol(value: Any, tensor: Any, recorder: Recorder) -> Any:
    """A symbol for a result; the plain number where the ops gave another one than Python."""
    found = tensor._array.item()
    if type(found) is type(value) and (found == value or found != found):  # noqa: PLR0124
        return SymNumber(value, tensor, recorder)
    recorder.guard_elements(tensor)
    return value


def _defers(x: Any, y: Any) -> bool:
    """Whether a tensor is to handle the operator."""
    return hasattr(type(x), "_of") or hasattr(type(y), "_of")


def _is_number(x: Any) -> bool:
    return type(x) in (int, float, SymNumber)


def _is_usable(x: Any) -> bool:
    return type(x) is not SymNumber or x.is_live


def _value(x: Any) -> Any:
    return x.value if type(x) is SymNumber else x


def _operand(x: Any, dtype: dtypes.DType) -> Any:
    if type(x) is SymNumber:
        return as_tensor(x, dtype)
    return _ops().full(shape=(), value=dtype.numpy.type(x).item(), dtype=dtype)


def _stays_below(x: Any, limit: int) -> bool:
    return x.below(limit) if type(x) is SymNumber else -limit < x < limit


def _all_below(limit: int) -> Operation:
    """Ints below `limit`, if both are; as terms of a float, exact ones."""

    def fits(x: Any, y: Any) -> bool:
        ints = [z for z in (x, y) if isinstance(z, int)]
        bound = limit if len(ints) == 2 else MAX_EXACT
        return all(_stays_below(z, bound) for z in ints)

    return fits


def _divides(x: Any, y: Any) -> bool:
    """Ints are exact, and the divisor, by a check, stays nonzero."""
    ints = [z for z in (x, y) if isinstance(z, int)]
    return all(_stays_below(z, MAX_EXACT) for z in ints) and _stays_nonzero(y)


def _stays_nonzero(y: Any) -> bool:
    """True for a divisor: Python would have raised. A check where replays may find another."""
    if type(y) is SymNumber:
        y.recorder.require(_ops().ne(y.tensor, 0))
    return True


def _leaves_rest(x: Any, y: Any) -> bool:
    return bool(_all_below(MAX_TERM)(x, y)) and _stays_nonzero(y)


def _floors(x: Any, y: Any) -> bool:
    """Quotients of floats, too, are small enough for every integer near them to be a float."""
    whole = isinstance(x, int) and isinstance(y, int)
    return _leaves_rest(x, y) and (whole or _stays_below(x / y, MAX_QUOTIENT))


def _remainder(F: Any, x: Any, y: Any) -> Any:
    """A remainder that is zero has the sign of the divisor as well."""
    rest = F.remainder(x, y)
    if not rest.dtype.is_floating_point:
        return rest
    return F.where(F.lt(y, 0), F.neg(F.abs(rest)), F.abs(rest))


_arithmetic("add", operator.add, _all_below(MAX_TERM), lambda F, x, y: F.add(x, y))
_arithmetic("sub", operator.sub, _all_below(MAX_TERM), lambda F, x, y: F.sub(x, y))
_arithmetic("mul", operator.mul, _all_below(MAX_FACTOR), lambda F, x, y: F.mul(x, y))
_arithmetic("truediv", operator.truediv, _divides, lambda F, x, y: F.div(x, y))
_arithmetic("floordiv", operator.floordiv, _floors, lambda F, x, y: F.floor_divide(x, y))
_arithmetic("mod", operator.mod, _leaves_rest, _remainder)


def _single(name: str, compute: Callable[[Any], Any], record: str) -> None:
    def method(self: SymNumber) -> Any:
        value = compute(self.value)
        if not self.is_live or (type(value) is int and not self.below(MAX_TERM)):
            self.plain()
            return value
        return _symbol(value, getattr(_ops(), record)(self.tensor), self.recorder)

    setattr(SymNumber, name, method)


_single("__neg__", operator.neg, "neg")
_single("__abs__", operator.abs, "abs")
_single("__pos__", operator.pos, "clone")


# --- comparisons ----------------------------------------------------------------------------------


def _comparison(name: str, compute: Operation) -> None:
    def method(self: SymNumber, other: Any) -> Any:
        if not _is_number(other):
            if _defers(self, other):
                return NotImplemented
            number = self.plain()
            return getattr(type(number), f"__{name}__")(number, other)
        outcome = compute(self.value, _value(other))
        both = (self, other)
        ints = [z for z in both if isinstance(z, int)]
        mixed = len(ints) == 1 and not _stays_below(ints[0], MAX_EXACT)
        if mixed or not all(map(_is_usable, both)) or not _fits_int64(other):
            plain(self), plain(other)
            return outcome
        dtype = dtypes.int64 if len(ints) == 2 else dtypes.float64
        condition = getattr(_ops(), name)(_operand(self, dtype), _operand(other, dtype))
        self.recorder.guard_truth(condition, outcome)
        return outcome

    setattr(SymNumber, f"__{name}__", method)


def _fits_int64(x: Any) -> bool:
    return type(x) is not int or -(1 << 63) <= x < 1 << 63


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _comparison(_name, getattr(operator, _name))


# --- everything else shows the number -------------------------------------------------------------

#: errors that name a SymNumber are looked at again (`name_types`)
_LACKED_BY_FLOATS = {
    "__index__": "'SymNumber' object cannot be interpreted as an integer",
    "__invert__": "bad operand type for unary ~: 'SymNumber'",
}


def _shown(name: str) -> None:
    def method(self: SymNumber, *args: Any) -> Any:
        number = self.plain()
        function = getattr(type(number), name, None)
        if function is None:
            raise TypeError(_LACKED_BY_FLOATS[name])
        return function(number, *map(plain, args))

    setattr(SymNumber, name, method)


def _shown_operator(name: str, compute: Callable[..., Any]) -> None:
    def forward(self: SymNumber, other: Any, *modulus: Any) -> Any:
        if _defers(self, other):
            return NotImplemented
        return compute(self, other, *modulus)

    def backward(self: SymNumber, other: Any, *modulus: Any) -> Any:
        if _defers(self, other):
            return NotImplemented
        return compute(other, self, *modulus)

    setattr(SymNumber, f"__{name}__", forward)
    setattr(SymNumber, f"__r{name}__", backward)


for _name in "int float index trunc floor ceil round repr str format invert".split():
    _shown(f"__{_name}__")


def _of_plain(compute: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *operands: compute(*map(plain, operands))


def _power(x: Any, y: Any, *modulus: Any) -> Any:
    """Small powers of ints are products; Python's powers of floats are rounded in other ways."""
    small = not modulus and isinstance(x, int) and type(y) is int and 1 <= y <= MAX_EXPONENT
    return functools.reduce(operator.mul, [x] * y) if small else _of_plain(pow)(x, y, *modulus)


def _divided(x: Any, y: Any) -> Any:
    if _is_number(x) and _is_number(y) and _value(y):
        return x // y, x % y
    return divmod(plain(x), plain(y))


for _name in "and_ or_ xor lshift rshift".split():
    _shown_operator(_name.rstrip("_"), _of_plain(getattr(operator, _name)))
_shown_operator("pow", _power)
_shown_operator("divmod", _divided)
