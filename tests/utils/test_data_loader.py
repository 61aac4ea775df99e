"""Loading in this process: orders that seeds repeat, and batches that are gathered."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import graphjit
from graphjit.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from graphjit.utils.data.fetch import gathered


def rows(n: int = 10) -> TensorDataset:
    return TensorDataset(graphjit.randn(n, 3), graphjit.arange(n))


def order(loader: DataLoader[Any]) -> list[int]:
    return [i for batch in loader for i in batch[1].tolist()]


def test_manual_seed_repeats_the_orders_of_passes():
    """Each pass has another order; a seed repeats them all."""
    loader = DataLoader(rows(50), 8, shuffle=True)
    graphjit.manual_seed(3)
    first = [order(loader), order(loader)]
    graphjit.manual_seed(3)
    assert [order(loader), order(loader)] == first
    assert first[0] != first[1]
    assert sorted(first[0]) == list(range(50))


def test_own_generator_leaves_the_default_one_alone():
    graphjit.manual_seed(0)
    before = graphjit.get_rng_state().tolist()
    orders = [
        order(DataLoader(rows_of_zeros(), 4, True, generator=graphjit.Generator().manual_seed(5)))
        for _ in range(2)
    ]
    assert orders[0] == orders[1]
    assert graphjit.get_rng_state().tolist() == before


def rows_of_zeros() -> TensorDataset:
    return TensorDataset(graphjit.zeros(20, 1), graphjit.arange(20))


@pytest.mark.parametrize("replacement", [False, True])
def test_order_does_not_depend_on_what_is_drawn_meanwhile(replacement):
    """A sampler seeds a stream of its own when a pass begins."""
    sampler = RandomSampler(range(10), replacement, num_samples=30)
    orders = []
    for draws in (0, 5):
        graphjit.manual_seed(1)
        indices = iter(sampler)
        start = [next(indices) for _ in range(3)]
        graphjit.rand(draws)
        orders.append(start + list(indices))
    assert orders[0] == orders[1]


def test_every_index_comes_as_often_as_any_other():
    """Without replacement, more samples than rows are whole permutations and part of one."""
    drawn = list(RandomSampler(range(4), num_samples=10))
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    assert len(set(drawn[8:])) == 2


def test_weights_are_probabilities():
    graphjit.manual_seed(0)
    drawn = np.bincount(list(WeightedRandomSampler([1, 0, 3], 4000)), minlength=3)
    assert drawn[1] == 0
    assert abs(drawn[2] / 4000 - 0.75) < 0.03


def test_random_split_takes_each_sample_once():
    parts = random_split(rows(10), [0.5, 0.3, 0.2], graphjit.Generator().manual_seed(1))
    again = random_split(rows(10), [5, 3, 2], graphjit.Generator().manual_seed(1))
    assert [part.indices for part in parts] == [part.indices for part in again]
    assert sorted(i for part in parts for i in part.indices) == list(range(10))


@pytest.mark.parametrize("indices", [[0, 1, 2], [4, 0, 4], [-1, 3], [np.int64(2)], (1, 2)])
def test_gathered_rows_are_the_collated_ones(indices):
    data = TensorDataset(
        graphjit.randn(5, 2, 3).transpose(1, 2), graphjit.arange(5), graphjit.arange(5) > 2
    )
    batch, collated = gathered(data, indices), default_collate([data[i] for i in indices])
    assert batch is not None
    for left, right in zip(batch, collated, strict=True):
        assert left.dtype is right.dtype and left.stride() == right.stride()
        assert graphjit.equal(left, right)


@pytest.mark.parametrize("indices", [[], [5], [True, False], [slice(2)], [[1], [2]], ["a"]])
def test_other_indices_are_not_gathered(indices):
    assert gathered(rows(5), indices) is None


def test_subclasses_are_asked_for_each_sample():
    class Doubled(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return tuple(2 * tensor for tensor in super().__getitem__(index))

    (batch,) = DataLoader(Doubled(graphjit.arange(3)), 3)
    assert batch[0].tolist() == [0, 2, 4]
    assert gathered(Subset(Doubled(graphjit.arange(3)), [0]), [0]) is None


def test_batches_have_memory_of_their_own():
    """Writing to a batch leaves the data set as it is."""
    data = TensorDataset(graphjit.zeros(4, 2))
    for (batch,) in DataLoader(data, 4):
        batch.add_(1)
    assert data.tensors[0].sum().item() == 0


def test_gradients_flow_to_the_rows_of_a_data_set():
    table = graphjit.zeros(4, requires_grad=True)
    for loader in (DataLoader(TensorDataset(table), 3), DataLoader(list(table), 3)):
        table.grad = None
        batch = next(iter(loader))
        (batch[0] if isinstance(batch, list) else batch).sum().backward()
        assert table.grad.tolist() == [1, 1, 1, 0]


def test_a_failing_batch_does_not_end_the_pass():
    class Second(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            if index == 1:
                raise ValueError("one")
            return index

    batches = iter(DataLoader(Second(graphjit.zeros(3))))
    assert next(batches).tolist() == [0]
    with pytest.raises(ValueError, match="one"):
        next(batches)
    assert next(batches).tolist() == [2]


class Long(IterableDataset):
    """Says that it is shorter than it is."""

    def __iter__(self) -> Any:
        return iter(range(3))

    def __len__(self) -> int:
        return 2


def test_more_samples_than_announced_are_warned_of():
    loader = DataLoader(Long(), None)
    assert len(loader) == 2
    batches = iter(loader)
    next(batches), next(batches)
    with pytest.warns(UserWarning, match="was reported to be 2"):
        next(batches)


def test_iterators_are_not_pickled():
    with pytest.raises(NotImplementedError):
        pickle.dumps(iter(DataLoader(rows())))


def test_a_traced_step_takes_batches():
    """Batches are tensors like others: a traced function gives what it gives eagerly."""

    def step(x: Any, y: Any) -> Any:
        return (x * x).sum(1) + y

    traced = graphjit.trace(step)
    for x, y in DataLoader(rows(40), 4, shuffle=True):
        assert graphjit.allclose(traced(x, y), step(x, y))
