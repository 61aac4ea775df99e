"""Random numbers: generators, and the functions and methods that draw from them.

A generator is a seed and an offset; numbers are a pure function of both (Philox 4x32-10, see
`ops.philox`). A draw of n elements moves the offset on by `blocks_needed(n, dtype)`, whatever is
made of them, so equal seeds give equal numbers eagerly, traced, and on any number of threads.
"""

from __future__ import annotations

import math
import operator
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..device import CPU, Device
from ..dtypes import DType
from ..errors import locate
from ..ops.core import type_name
from ..ops.philox import blocks_needed
from .arguments import as_dtype, as_shape, check_device, check_tensor
from .base import is_tensor
from .creation import finished
from .mode import MODE, refuse_recording
from .observe import by_values, require
from .out import write_out
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor

_MASK = (1 << 64) - 1
#: The seed that generators start with, as in PyTorch.
DEFAULT_SEED = 67280421310721


class Generator:
    """A stream of random numbers: `seed_value`, and the `offset` of the next block of it."""

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self.seed_value = DEFAULT_SEED
        self.offset = 0

    @property
    def device(self) -> Device:
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning. ValueError if it needs over 64 bits."""
        refuse_recording("manual_seed()")
        number = int(seed)
        if not -(1 << 63) <= number <= _MASK:
            raise locate(ValueError("Overflow when unpacking long long"))
        self.seed_value = _signed(number)
        self.offset = 0
        return self

    def seed(self) -> int:
        """Start the stream of a seed from the operating system; returns the seed."""
        number = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed that was set last."""
        refuse_recording("initial_seed()")
        return self.seed_value & _MASK

    def get_state(self) -> Tensor:
        """Seed and offset, as 16 bytes."""
        refuse_recording("get_state()")
        from .tensor import Tensor

        words = np.array([self.seed_value & _MASK, self.offset & _MASK], np.uint64)
        return Tensor._of(words.view(np.uint8))

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to a state from `get_state`. RuntimeError for anything else."""
        refuse_recording("set_state()")
        array = check_tensor("set_state", new_state)._array
        if array.dtype != np.uint8:
            raise locate(TypeError("expected a torch.ByteTensor, but got " + type_name(
                new_state.dtype)))
        if array.size != 16:
            raise locate(RuntimeError("RNG state is wrong size"))
        seed, offset = np.ascontiguousarray(array).view(np.uint64).tolist()
        self.seed_value, self.offset = _signed(seed), offset
        return self

    def clone_state(self) -> Generator:
        """Another generator in the same state."""
        other = Generator()
        other.seed_value, other.offset = self.seed_value, self.offset
        return other

    def position(self) -> tuple[int, int, int]:
        """Where the stream is, for `move_to`; a recording may ask too."""
        recorder = MODE.recorder
        drawn = 0 if recorder is None else recorder.drawn(self)
        return self.seed_value, self.offset, drawn

    def move_to(self, position: tuple[int, int, int]) -> None:
        """Go to where the stream has been."""
        self.seed_value, self.offset, drawn = position
        if MODE.recorder is not None:
            MODE.recorder.rewind(self, drawn)

    def draw(self, blocks: int) -> tuple[Any, Any]:
        """Seed and offset of a draw that takes `blocks`; 0-d tensors while recording."""
        recorder = MODE.recorder
        if recorder is not None:
            return recorder.draw(self, blocks)
        offset = self.offset
        self.offset = offset + blocks
        return self.seed_value, offset


def _signed(number: int) -> int:
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go back to a state of the default generator."""
    default_generator.set_state(new_state)


class fork_rng:
    """Context manager at whose end the default generator is as it was before."""

    def __init__(self, devices: Any = None, enabled: bool = True, **options: Any) -> None:
        self.enabled = enabled
        self.before: list[tuple[int, int, int]] = []

    def __enter__(self) -> None:
        self.before.append(default_generator.position())

    def __exit__(self, *exc: object) -> None:
        position = self.before.pop()
        if self.enabled:
            default_generator.move_to(position)


def uniform(shape: tuple[int, ...], dtype: DType, generator: Generator | None = None) -> Tensor:
    """Numbers in [0, 1)."""
    return _drawn(F.uniform, shape, dtype, generator)


def normal_numbers(
    shape: tuple[int, ...], dtype: DType, generator: Generator | None = None
) -> Tensor:
    """Standard normal numbers."""
    return _drawn(F.normal, shape, dtype, generator)


def exponential_numbers(
    shape: tuple[int, ...], dtype: DType, generator: Generator | None = None
) -> Tensor:
    """Exponential numbers of mean 1."""
    return _drawn(F.exponential, shape, dtype, generator)


def _drawn(op: Any, shape: tuple[int, ...], dtype: DType, generator: Generator | None) -> Tensor:
    source = default_generator if generator is None else generator
    seed, offset = source.draw(blocks_needed(math.prod(shape), dtype))
    return op(seed, offset, shape=shape, dtype=dtype)  # type: ignore[no-any-return]


def _floating(dtype: Any, function: str, kernel: str) -> DType:
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, function)
    if wanted.category != 2:
        raise locate(NotImplementedError(
            f'"{kernel}" not implemented for \'{type_name(wanted)}\''
        ))
    return wanted


def _result(out: Any, result: Tensor, function: str, requires_grad: bool = False) -> Tensor:
    return finished(result if out is None else write_out(out, result, function), requires_grad)


def rand(
    *args: Any,
    size: Any = None,
    generator: Generator | None = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers equally likely anywhere in [0, 1)."""
    check_device(device)
    shape = as_shape("rand", args if size is None else (size,))
    wanted = _floating(dtype, "rand", "check_uniform_bounds")
    return _result(out, uniform(shape, wanted, generator), "rand", requires_grad)


def randn(
    *args: Any,
    size: Any = None,
    generator: Generator | None = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    check_device(device)
    shape = as_shape("randn", args if size is None else (size,))
    wanted = _floating(dtype, "randn", "normal_kernel_cpu")
    return _result(out, normal_numbers(shape, wanted, generator), "randn", requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False,
              **options: Any) -> Tensor:
    """`rand` of the shape and dtype of `input`."""
    check_tensor("rand_like", input)
    return rand(input._array.shape, dtype=dtype or input.dtype, requires_grad=requires_grad,
                device=options.get("device"))


def randn_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False,
               **options: Any) -> Tensor:
    """`randn` of the shape and dtype of `input`."""
    check_tensor("randn_like", input)
    return randn(input._array.shape, dtype=dtype or input.dtype, requires_grad=requires_grad,
                 device=options.get("device"))


def integers(
    low: int, high: int, shape: tuple[int, ...], dtype: DType, generator: Generator | None
) -> Tensor:
    """Whole numbers equally likely in [low, high)."""
    if low >= high:
        raise locate(RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        ))
    source = default_generator if generator is None else generator
    # Two 32-bit words for each number, four to a block.
    seed, offset = source.draw(-(-math.prod(shape) // 2))
    whole = F.randint(seed, offset, shape=shape, low=low, high=high)
    return whole if dtype is dtypes.int64 else F.cast(whole, dtype=dtype)  # type: ignore[no-any-return]


def randint(
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Whole numbers in [low, high): `randint(high, size)` or `randint(low, high, size)`."""
    check_device(device)
    numbers = [*args] if size is None else [*args, size]
    if high is not None:
        numbers.insert(len(numbers) - 1, high)
    if low is not None:
        numbers.insert(0, low)
    if len(numbers) == 2:
        numbers.insert(0, 0)
    if len(numbers) != 3 or not isinstance(numbers[2], (tuple, list)):
        kinds = ", ".join(type(a).__name__ for a in args)
        raise locate(TypeError(
            f"randint() received an invalid combination of arguments - got ({kinds}), but expected "
            "(int high, tuple of ints size) or (int low, int high, tuple of ints size)"
        ))
    wanted = dtypes.int64 if dtype is None else as_dtype(dtype, "randint")
    shape = as_shape("randint", (numbers[2],))
    drawn = integers(int(numbers[0]), int(numbers[1]), shape, wanted, generator)
    return _result(out, drawn, "randint", requires_grad)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None,
                 **options: Any) -> Tensor:
    """`randint` of the shape and dtype of `input`."""
    bounds = (0, low) if high is None else (low, high)
    return randint(*bounds, input._array.shape, dtype=dtype or input.dtype, **options)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Any = None,
    dtype: Any = dtypes.int64,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers below `n` in random order: where float64 uniforms go when sorted."""
    check_device(device)
    shape = as_shape("randperm", (n,))
    order = F.argsort(uniform(shape, dtypes.float64, generator), dim=0, descending=False)
    wanted = as_dtype(dtype, "randperm")
    if wanted is not dtypes.int64:
        order = F.cast(order, dtype=wanted)
    return _result(out, order, "randperm", requires_grad)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of a mean and a standard deviation, each a number or a tensor."""
    check_device(device)
    _check_std(std)
    if size is not None:
        shape = as_shape("normal", (size,))
        wanted = _floating(dtype, "normal", "normal_kernel_cpu")
    else:
        tensors = [x for x in (mean, std) if is_tensor(x)]
        if not tensors:
            raise locate(TypeError("normal(): missing argument 'size' (position 3)"))
        try:
            shape = np.broadcast_shapes(*(x._array.shape for x in tensors))
        except ValueError:
            F.add(mean, std)
            raise
        wanted = tensors[0].dtype
    result = F.rescale(normal_numbers(shape, wanted, generator), std, mean)
    return _result(out, result, "normal", requires_grad)


def _check_std(std: Any) -> None:
    if is_tensor(std):
        if std._array.size and std._array.min() < 0:
            error = locate(RuntimeError("normal expects all elements of std >= 0.0"))
            raise by_values(error, "normal()", std)
        require(lambda: F.logical_not(F.lt(std.detach(), 0)))
    elif std < 0:
        raise locate(RuntimeError(f"normal expects std >= 0.0, but found std {std:g}"))


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """1 with the probability that each element gives (or `p`), else 0."""
    check_tensor("bernoulli", input)
    probability: Any = input if p is None else p
    if p is None:
        _check_probability(input)
        chance = input.detach()
        require(lambda: F.logical_and(F.ge(chance, 0), F.le(chance, 1)))
    dtype = input.dtype if input.dtype.category == 2 else dtypes.default_float()
    draw = uniform(input._array.shape, dtype, generator)
    result = F.cast(F.lt(draw, probability), dtype=input.dtype)
    return _result(out, result, "bernoulli")


def _check_weights(weights: Tensor) -> None:
    array, reason = weights._array, ""
    if not (np.isfinite(array) & (array >= 0)).all():
        reason = "probability tensor contains either `inf`, `nan` or element < 0"
    elif not (array.sum(-1) > 0).all():
        reason = "invalid multinomial distribution (sum of probabilities <= 0)"
    if reason:
        raise by_values(locate(RuntimeError(reason)), "multinomial()", weights)


def _check_probability(p: Tensor) -> None:
    array = p._array
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        error = locate(RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message "
            "be improved?  If so, please report an enhancement request to PyTorch.)"
        ))
        raise by_values(error, "bernoulli()", p)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *,
    generator: Generator | None = None, out: Any = None,
) -> Tensor:
    """Indices drawn with probabilities proportional to each row of `input`."""
    check_tensor("multinomial", input)
    try:
        num_samples = operator.index(num_samples)
    except TypeError:
        raise locate(TypeError(
            "multinomial(): argument 'num_samples' (position 2) must be int, not "
            f"{type(num_samples).__name__}"
        )) from None
    columns = input._array.shape[-1]
    if not replacement and num_samples > columns:
        raise locate(RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without "
                                  "replacement"))
    rows = input._array.shape[:-1]
    _check_weights(input)
    weights = input.detach()
    require(lambda: F.logical_and(F.ge(weights, 0), F.isfinite(weights)))
    require(lambda: F.gt(F.sum(weights, dims=(len(rows),)), 0))
    if replacement:
        total = F.cumsum(input, dim=len(rows))
        last = F.slice_(total, dim=len(rows), start=columns - 1, stop=columns, step=1)
        share = F.div(total, last)
        draw = uniform((*rows, num_samples, 1), input.dtype, generator)
        below = F.le(F.unsqueeze(share, dim=len(rows)), draw)
        result = F.sum_squeeze(below, dims=(len(rows) + 1,))
    else:
        # Exponential races: the first arrivals are a sample without replacement.
        times = F.div(exponential_numbers((*rows, columns), input.dtype, generator), input)
        order = F.argsort(times, dim=len(rows), descending=False)
        result = F.slice_(order, dim=len(rows), start=0, stop=num_samples, step=1)
    return _result(out, result, "multinomial")
