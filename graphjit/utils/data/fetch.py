"""From indices to a batch: the part of loading that happens in this process or in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ...frontend.mode import MODE
from ...frontend.tensor import Tensor
from .collate import default_collate
from .dataset import IterableDataset, Subset, TensorDataset, samples_at

Fetch = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How batches are made: from lists of indices if `batched`, else from single ones."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool

    def start(self) -> Fetch:
        """The function that fetches batches during one pass over the data set."""
        if isinstance(self.dataset, IterableDataset):
            return _Stream(self)
        return self._fetch

    def _fetch(self, index: Any) -> Any:
        if not self.batched:
            return self.collate_fn(self.dataset[index])
        if self.collate_fn is default_collate:
            batch = gathered(self.dataset, index)
            if batch is not None:
                return batch
        return self.collate_fn(samples_at(self.dataset, index))


@dataclass(slots=True)
class _Stream:
    """One pass over an iterable data set; StopIteration at its end."""

    recipe: Recipe
    samples: Any = field(init=False)
    ended: bool = False

    def __post_init__(self) -> None:
        self.samples = iter(self.recipe.dataset)

    def __call__(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.recipe.batched:
            return self.recipe.collate_fn(next(self.samples))
        batch = list(islice(self.samples, len(index)))
        self.ended = len(batch) < len(index)
        if not batch or (self.ended and self.recipe.drop_last):
            raise StopIteration
        return self.recipe.collate_fn(batch)


def gathered(dataset: Any, indices: Sequence[Any]) -> list[Tensor] | None:
    """What collating these rows of a `TensorDataset` gives, by one indexing per tensor.

    None for other data sets (subsets of one apart) and for indices that are no row numbers.
    """
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    rows = np.array(indices)
    if rows.ndim != 1 or rows.dtype.kind != "i":
        return None
    try:
        return [_rows_of(tensor, rows) for tensor in dataset.tensors]
    except IndexError:  # fetching row by row raises it in PyTorch's words
        return None


def _rows_of(tensor: Tensor, rows: np.ndarray) -> Tensor:
    if tensor.requires_grad or MODE.recorder is not None:
        return tensor[rows.tolist()]
    return Tensor._of(tensor._array.take(rows, 0))
