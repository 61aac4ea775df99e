"""`utils.data` against PyTorch: the same text gives the same values, types and errors."""

from __future__ import annotations

import warnings
from collections import OrderedDict, UserDict, UserList, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import graphjit

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

Point = namedtuple("Point", "x y")


def space_of(library: Any) -> dict[str, Any]:
    """The names that the texts below use."""
    data = library.utils.data
    space: dict[str, Any] = {"t": library, "np": np, "Point": Point, **vars(data)}
    space |= {"OrderedDict": OrderedDict, "UserDict": UserDict, "UserList": UserList}
    space["Proxy"] = MappingProxyType

    class Squares(data.Dataset):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> Any:
            return {"root": index, "square": library.tensor([index, index * index])}

    class Count(data.IterableDataset):
        def __init__(self, stop: int = 7) -> None:
            self.stop = stop

        def __iter__(self) -> Any:
            return iter(range(self.stop))

        def __len__(self) -> int:
            return 2

    class Batched(data.Dataset):
        def __getitems__(self, indices: list[int]) -> list[str]:
            return [f"{i} of {len(indices)}" for i in indices]

        def __len__(self) -> int:
            return 5

    class Halved(data.Subset):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index) / 2

    space |= {"Squares": Squares, "Count": Count, "Batched": Batched, "Halved": Halved}
    space["rows"] = data.TensorDataset(library.arange(14.0).view(7, 2), library.arange(7))
    return space


def plain(value: Any) -> Any:
    """Tensors as dtype, shape and values, containers with their type."""
    if isinstance(value, (graphjit.Tensor, torch.Tensor)):
        dtype = str(value.dtype).removeprefix("torch.").removeprefix("graphjit.")
        return "tensor", dtype, tuple(value.shape), value.tolist()
    if isinstance(value, (dict, UserDict, MappingProxyType)):
        return type(value).__name__, {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, UserList)):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return "array", value.tolist()
    return type(value).__name__, value


def outcome(library: Any, text: str) -> Any:
    """What `text` gives, or the error, without the place that is named below it; warnings too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = plain(eval(text, space_of(library)))
        except Exception as error:  # noqa: BLE001
            value = type(error).__name__, str(error).split("\n")[0]
    return value, [str(warning.message).split(" object at ")[0] for warning in caught]


COLLATE = """
default_collate([1, 2, 3])
default_collate((1, 2))
default_collate([True, False])
default_collate([1.5, 2])
default_collate(['a', 'b'])
default_collate([b'a', b'b'])
default_collate([np.float32(1), np.float32(2)])
default_collate([np.float64(1), np.float64(2)])
default_collate([np.int16(1), np.int16(2)])
default_collate([np.bool_(True), np.bool_(False)])
default_collate([np.zeros(2), np.ones(2)])
default_collate([np.zeros((), 'i4'), np.ones((), 'i4')])
default_collate([np.array('a')])
default_collate([np.array([None])])
default_collate([t.zeros(2), t.ones(2)])
default_collate([t.tensor(1), t.tensor(2)])
default_collate([t.zeros(2), t.ones(3)])
default_collate([t.zeros(2, requires_grad=True), t.ones(2)]).requires_grad
default_collate([(1, 'a'), (2, 'b')])
default_collate([[1, 'a'], [2, 'b']])
default_collate([Point(1, t.zeros(1)), Point(2, t.ones(1))])
default_collate([{'x': 1, 'y': (1, 2.0)}, {'x': 2, 'y': (3, 4.0)}])
default_collate([OrderedDict(x=1), OrderedDict(x=2)])
default_collate([UserDict(x=1), UserDict(x=2)])
default_collate([Proxy({'x': 1}), Proxy({'x': 2})])
default_collate([UserList([1, 2]), UserList([3, 4])])
default_collate([range(2), range(2)])
default_collate([[1, 2], [1]])
default_collate([{'x': 1}, {}])
default_collate([None, None])
default_collate([{1}, {2}])
default_collate([])
default_convert([np.zeros(2), 1, 'a', (np.float32(2), None)])
default_convert({'x': np.arange(2), 's': np.array(['a'])})
default_convert(Point(np.zeros(1), 2))
default_convert(range(3))
default_convert(UserList([np.float64(1)]))
""".strip().splitlines()

DATASETS = """
len(rows), rows[2], rows[-1], rows[1:3]
rows[7]
TensorDataset(t.zeros(2), t.zeros(3))
Dataset()[0]
len(Squares() + Squares()), (Squares() + rows)[9], (Squares() + rows)[-1]
(rows + rows)[-15]
ConcatDataset([])
ConcatDataset([Count()])
list(Count() + Count(2)), len(Count() + Count(2))
list(ChainDataset([rows]))
Subset(rows, [4, 2])[1], Subset(rows, [4, 2])[[0, 1]], len(Subset(rows, [4, 2]))
Subset(Batched(), [4, 2]).__getitems__([1, 0])
Halved(rows, [0])
StackDataset(rows, Squares())[3]
StackDataset(a=rows, b=Squares())[3], len(StackDataset(a=rows, b=Squares()))
StackDataset(Batched(), range(5)).__getitems__([1, 2])
StackDataset(a=Batched(), b=range(5)).__getitems__([1, 2])
StackDataset(rows, Batched())
StackDataset()
StackDataset(rows, a=rows)
[len(part) for part in random_split(range(10), [0.3, 0.3, 0.4])]
[len(part) for part in random_split(range(11), [0.5, 0.5])]
[len(part) for part in random_split(range(1), [0.5, 0.5])]
sorted(i for part in random_split(range(10), [3, 7], t.Generator()) for i in part.indices)
random_split(range(10), [3, 4])
random_split(range(10), [1.5, -0.5])
random_split(range(10), [0.5, 0.6])
""".strip().splitlines()

SAMPLERS = """
list(SequentialSampler(range(4))), len(SequentialSampler(range(4)))
sorted(RandomSampler(range(4))), len(RandomSampler(range(4)))
sorted(list(RandomSampler(range(4), num_samples=6))[:4]), len(RandomSampler(range(4), False, 6))
len(list(RandomSampler(range(4), replacement=True, num_samples=40)))
RandomSampler(range(4), replacement=1)
RandomSampler(range(4), num_samples=0)
RandomSampler([])
sorted(SubsetRandomSampler([5, 3])), len(SubsetRandomSampler([5, 3]))
sorted(set(WeightedRandomSampler([0, 1, 0, 2.0], 50)))
sorted(WeightedRandomSampler([1, 1, 0, 2.0], 3, False))
list(WeightedRandomSampler([1, 1], 3, False))
WeightedRandomSampler([1], 0)
WeightedRandomSampler([1], True)
WeightedRandomSampler([1], 1, 1)
WeightedRandomSampler([[1]], 1)
list(BatchSampler(range(5), 2, False)), len(BatchSampler(range(5), 2, False))
list(BatchSampler(range(5), 2, True)), len(BatchSampler(range(5), 2, True))
BatchSampler(range(5), 0, True)
BatchSampler(range(5), True, True)
BatchSampler(range(5), 2, 1)
iter(Sampler())
""".strip().splitlines()

LOADERS = """
list(DataLoader(rows))
list(DataLoader(rows, 3)), len(DataLoader(rows, 3))
list(DataLoader(rows, 3, drop_last=True)), len(DataLoader(rows, 3, drop_last=True))
list(DataLoader(Squares(), 3))
list(DataLoader(rows, None)), len(DataLoader(rows, None))
list(DataLoader(np.arange(3.0), None))
list(DataLoader(range(3), 2))
list(DataLoader(Batched(), 2))
list(DataLoader(Subset(rows, [5, 3, -1]), 2))
list(DataLoader(Subset(Subset(rows, [5, 3, 1]), [2, 0]), 2))
list(DataLoader(StackDataset(a=rows, b=Batched()), 2))
list(DataLoader(rows, 2, sampler=[6, 0, 3]))
list(DataLoader(rows, 2, sampler=[6, 7]))
list(DataLoader(rows, 2, sampler=[True, False]))
list(DataLoader(rows, sampler=t.tensor([6, 0])))
list(DataLoader(rows, batch_sampler=[[1, 2], (0,)]))
list(DataLoader(rows, batch_sampler=t.tensor([[1, 2], [0, 3]])))
list(DataLoader(rows, batch_sampler=[[]]))
list(DataLoader(rows, 4, collate_fn=len))
list(DataLoader(Count(), 3))
list(DataLoader(Count(), 3, drop_last=True))
list(DataLoader(Count(), None))
len(DataLoader(Count(), 3)), len(DataLoader(Count(), None))
len(DataLoader(Count(), 3, drop_last=True))
[len(l) + len(list(l)) for l in [DataLoader(Count(), 3)]]
len(iter(DataLoader(rows, 2)))
sorted(i for b in DataLoader(rows, 2, shuffle=True) for i in b[1].tolist())
DataLoader(rows, 2).batch_sampler.batch_size, DataLoader(rows, batch_sampler=[[1]]).batch_size
DataLoader(rows, 2).dataset is rows, DataLoader(rows, 2).drop_last, DataLoader(rows).num_workers
DataLoader(rows).prefetch_factor, DataLoader(rows, num_workers=1).prefetch_factor
DataLoader[int].__args__, Sampler[int].__args__, Dataset[int].__args__
DataLoader(rows, num_workers=-1)
DataLoader(rows, timeout=-1)
list(DataLoader(rows, timeout=1))
DataLoader(rows, prefetch_factor=2)
DataLoader(rows, num_workers=1, prefetch_factor=-1)
iter(DataLoader(rows, num_workers=1, prefetch_factor=0))
DataLoader(rows, persistent_workers=True)
DataLoader(rows, sampler=[1], shuffle=True)
DataLoader(rows, batch_sampler=[[1]], batch_size=2)
DataLoader(rows, batch_sampler=[[1]], drop_last=True)
DataLoader(rows, None, drop_last=True)
DataLoader(rows, 0)
DataLoader(rows, 2.0)
DataLoader(Count(), shuffle=True)
DataLoader(Count(), sampler=[1])
DataLoader(Count(), batch_sampler=[[1]])
DataLoader([], shuffle=True)
list(DataLoader([]))
DataLoader(rows, multiprocessing_context='spawn')
DataLoader(rows, num_workers=1, multiprocessing_context='magic')
DataLoader(rows, num_workers=1, multiprocessing_context=1)
setattr(DataLoader(rows), 'batch_size', 3)
list(DataLoader(rows, 4, pin_memory=True))
DataLoader(rows, num_workers=100) and None
get_worker_info()
""".strip().splitlines()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of PyTorch's
@pytest.mark.parametrize("text", [*COLLATE, *DATASETS, *SAMPLERS, *LOADERS])
def test_like_pytorch(text: str) -> None:
    """Values, containers, errors and warnings are PyTorch's."""
    assert outcome(graphjit, text) == outcome(torch, text)
