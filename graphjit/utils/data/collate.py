"""Samples made into batches, and single samples made into tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...frontend.creation import as_tensor, tensor
from ...frontend.functions_join import stack
from ...frontend.mode import MODE
from ...frontend.tensor import Tensor


def default_convert(data: Any) -> Any:
    """NumPy's arrays and scalars, also within dicts and sequences, as tensors."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUOV" else as_tensor(data)
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _like_mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, Sequence):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples stacked along a new first dimension, field by field.

    TypeError for samples that are neither tensors, arrays, numbers, text, dicts nor sequences of
    these; RuntimeError for sequences of unequal lengths.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _collate_tensors(batch)
    if isinstance(first, np.ndarray):
        return _collate_arrays(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, float) and not isinstance(first, np.generic):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, (int, np.number, np.bool_)):
        return tensor(batch)
    if isinstance(first, Mapping):
        return _like_mapping(first, lambda key: default_collate([sample[key] for sample in batch]))
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise _unknown(type(first))


def _unknown(found: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {found}"
    )


def _collate_tensors(batch: Sequence[Any]) -> Tensor:
    """`stack`; by one call of NumPy for tensors alike, which takes half the time."""
    plain = MODE.recorder is None and all(
        isinstance(sample, Tensor) and not sample.requires_grad for sample in batch
    )
    if plain:
        arrays = [sample._array for sample in batch]
        if _alike(arrays):
            return Tensor._of(np.array(arrays))
    return stack(list(batch), 0)


def _collate_arrays(batch: Sequence[Any]) -> Tensor:
    if batch[0].dtype.kind in "SUO":
        raise _unknown(batch[0].dtype)
    if _alike(batch):
        return as_tensor(np.array(batch))
    return stack([as_tensor(array) for array in batch], 0)


def _alike(arrays: Sequence[Any]) -> bool:
    """Whether arrays have one shape and one dtype."""
    first = arrays[0]
    return all(
        isinstance(array, np.ndarray) and array.shape == first.shape and array.dtype == first.dtype
        for array in arrays
    )


def _collate_sequences(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if not _is_named(first) and any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    return _like_sequence(first, map(default_collate, zip(*batch, strict=False)))


def _is_named(data: Any) -> bool:
    return isinstance(data, tuple) and hasattr(data, "_fields")


def _like_mapping(data: Mapping[Any, Any], value_of: Callable[[Any], Any]) -> Any:
    """A mapping of the type of `data` with other values; a dict where its type cannot be made."""
    values = {key: value_of(key) for key in data}
    try:
        if not isinstance(data, MutableMapping):
            return type(data)(values)  # type: ignore[call-arg]
        result = copy.copy(data)  # it may have more attributes than its items
        result.update(values)
    except TypeError:
        return values
    return result


def _like_sequence(data: Sequence[Any], values: Iterable[Any]) -> Any:
    """A sequence of the type of `data` with other items; a list for tuples, as PyTorch gives."""
    values = list(values)
    if _is_named(data):
        return type(data)(*values)
    if isinstance(data, tuple):
        return values
    try:
        if not isinstance(data, MutableSequence):
            return type(data)(values)  # type: ignore[call-arg]
        result = copy.copy(data)
        for place, value in enumerate(values):
            result[place] = value
    except TypeError:
        return values
    return result
