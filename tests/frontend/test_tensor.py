"""What a tensor is to Python and NumPy: memory, copies, pickles, hashes, sizes."""

import copy
import pickle

import numpy as np
import pytest

import graphjit as gj


def test_numpy_shares_memory_both_ways():
    a = np.ones(3)
    x = gj.from_numpy(a)
    x.add_(1)
    a[0] = 9
    assert x.tolist() == [9, 2, 2]
    y = gj.zeros(2)
    array = y.numpy()
    array += 3
    y.mul_(2)
    assert array.tolist() == [6, 6]
    assert gj.as_tensor(a).data_ptr() == a.ctypes.data
    assert gj.tensor(a).data_ptr() != a.ctypes.data


def test_views_share_memory():
    x = gj.zeros(3, 4)
    for view in (x[0], x[:, 1], x.t(), x.view(-1), x.reshape(2, 6), x[None], x.unbind()[1],
                 x.split(2)[0], x.diagonal(), x.expand(2, 3, 4), x.detach(), x.data, x.squeeze(),
                 x.permute(1, 0), x.flatten(), x.narrow(0, 1, 1), x.T):  # fmt: skip
        assert np.shares_memory(view.numpy(), x.numpy())
    for made in (x.clone(), x[[0, 1]], x + 0, x.t().reshape(-1), x.flip(0), x.repeat(1, 1)):
        assert not np.shares_memory(made.numpy(), x.numpy())
    assert x.contiguous() is x
    assert x.t().contiguous() is not x


def test_ufuncs_give_tensors_and_arrays_mix():
    x = gj.ones(2)
    assert isinstance(np.sin(x), gj.Tensor)
    assert isinstance(np.ones(2) + x, gj.Tensor)
    assert isinstance(x * np.ones(2), gj.Tensor)
    assert (x + np.float32(2)).dtype is gj.float32
    assert np.concatenate([x, x]).shape == (4,)
    assert float(np.max(x)) == 1
    assert np.allclose(x, [1, 1])


def test_hash_and_membership_are_by_identity():
    x, y = gj.ones(2), gj.ones(2)
    assert len({x, y, x}) == 2
    table = {x: "x", y: "y"}
    assert table[x] == "x"
    assert hash(x) == id(x)
    assert 1 in x
    assert (x == y).all()


def test_deepcopy_keeps_sharing_and_gradients():
    x = gj.arange(4.0)
    x.requires_grad_()
    x.grad = gj.ones(4)
    x.label = ["kept"]
    y = copy.deepcopy(x)
    assert y.requires_grad
    assert y.grad.tolist() == [1, 1, 1, 1]
    assert y.grad is not x.grad
    assert y.label == ["kept"]
    assert y.label is not x.label
    base = gj.arange(6.0)
    first, second = copy.deepcopy([base, base[2:4]])
    first[2] = 100
    assert second[0].item() == 100
    assert base[2].item() == 2
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_shallow_copy_shares():
    x = gj.ones(2)
    y = copy.copy(x)
    y.add_(1)
    assert x.tolist() == [2, 2]


@pytest.mark.parametrize("protocol", [2, 4, pickle.HIGHEST_PROTOCOL])
def test_pickle(protocol):
    base = gj.arange(6.0).reshape(2, 3)
    things = {"a": base, "b": base[1], "t": base.t(), "e": gj.zeros(0, 3), "s": gj.tensor(3),
              "g": gj.ones(2, requires_grad=True), "h": gj.ones(2, dtype=gj.float16)}  # fmt: skip
    found = pickle.loads(pickle.dumps(things, protocol))
    for name, tensor in things.items():
        assert found[name].equal(tensor)
        assert found[name].dtype is tensor.dtype
        assert found[name].stride() == tensor.stride()
        assert found[name].requires_grad is tensor.requires_grad
    found["a"][1, 0] = 50
    assert found["b"][0].item() == 50
    assert found["t"][0, 1].item() == 50


def test_pickles_of_dtypes_devices_sizes_and_results():
    for thing in (gj.float32, gj.int64, gj.device("cpu"), gj.Size([2, 3]), gj.ones(2).max(0)):
        again = pickle.loads(pickle.dumps(thing))
        assert type(again) is type(thing)
    assert pickle.loads(pickle.dumps(gj.float32)) is gj.float32


def test_size():
    size = gj.zeros(2, 3).shape
    assert size == (2, 3)
    assert isinstance(size, tuple)
    assert size.numel() == 6
    assert isinstance(size[:1], gj.Size)
    assert repr(size[:1] + (4,)) == "graphjit.Size([2, 4])"
    assert gj.Size([1, 2]) == gj.Size((1, 2))
    a, b = size
    assert (a, b) == (2, 3)


def test_named_results():
    result = gj.tensor([[1, 5], [7, 2]]).max(dim=1)
    values, _ = result
    assert result.values is values
    assert result.indices.tolist() == [1, 0]
    assert repr(result) == (
        "graphjit.return_types.max(\nvalues=tensor([5, 7]),\nindices=tensor([1, 0]))"
    )


def test_dtype_names(monkeypatch):
    assert repr(gj.float32) == "graphjit.float32"
    assert gj.ones(1).type() == "graphjit.FloatTensor"
    assert gj.float is gj.float32
    assert gj.long is gj.int64
    assert isinstance(gj.float32, gj.dtype)
    monkeypatch.setattr(gj.config, "NAMESPACE", "torch")
    assert repr(gj.bool) == "torch.bool"
    assert gj.ones(1).long().type() == "torch.LongTensor"


def test_version_counts_writes():
    x = gj.ones(3)
    view = x[0]
    x.add_(1)
    view.mul_(2)
    x[1] = 5
    assert x._version[0] == view._version[0] == 3
    assert x.clone()._version[0] == 0


def test_default_dtype():
    try:
        gj.set_default_dtype(gj.float64)
        assert gj.tensor(1.5).dtype is gj.float64
        assert gj.ones(2).dtype is gj.float64
        assert (gj.arange(3) / 2).dtype is gj.float64
        assert repr(gj.ones(1)) == "tensor([1.])"
    finally:
        gj.set_default_dtype(gj.float32)
    with pytest.raises(TypeError, match="only floating-point types"):
        gj.set_default_dtype(gj.int64)


def test_shape_methods_in_place():
    x = gj.arange(6.0).reshape(2, 3)
    assert x.t_() is x
    assert x.shape == (3, 2)
    assert x.unsqueeze_(0).shape == (1, 3, 2)
    assert x.squeeze_().shape == (3, 2)
    assert x.transpose_(0, 1).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]


def test_shape_methods_in_place_keep_the_tape():
    x = gj.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    y.t_()
    y[0] = 0
    (y * y).sum().backward()
    assert x.grad.tolist() == [[0, 8, 16], [0, 32, 40]]


def test_out_argument():
    out = gj.empty(0)
    result = gj.add(gj.ones(2), 1, out=out)
    assert result is out
    assert out.tolist() == [2, 2]
    with pytest.warns(UserWarning, match="was resized"):
        gj.mul(gj.ones(3), 2, out=out)
    assert out.shape == (3,)
    wide = gj.empty(2, dtype=gj.float64)
    assert gj.exp(gj.zeros(2), out=wide).tolist() == [1, 1]
    values, indices = gj.empty(0), gj.empty(0, dtype=gj.int64)
    gj.max(gj.eye(2), 0, out=(values, indices))
    assert indices.tolist() == [0, 1]


def test_dlpack():
    x = gj.arange(3.0)
    assert np.from_dlpack(x).tolist() == [0, 1, 2]
    with pytest.raises(BufferError):
        np.from_dlpack(x.requires_grad_())


def test_bad_arithmetic_warns_of_nothing():
    """Infinities and NaN are results, not warnings (pytest turns warnings into errors here)."""
    x = gj.tensor([0.0, -1.0, 1e38])
    for result in (1 / x, x.log(), x.sqrt(), x * x, x**0.5, (x / 0) - (x / 0), x.exp(), x % 0):
        assert not result.isfinite().all()
    y = gj.zeros(2, requires_grad=True)
    y.sqrt().sum().backward()
    assert y.grad.isinf().all()


def test_cuda_is_absent():
    assert gj.cuda.is_available() is False
    assert gj.cuda.device_count() == 0
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        gj.ones(2).cuda()
    assert not gj.ones(1).is_cuda


def test_uninitialised_memory_has_the_size():
    assert gj.Tensor(5, 3).shape == (5, 3)
    assert gj.empty(2, 0).shape == (2, 0)
    assert gj.FloatTensor(2, 2).dtype is gj.float32
    assert gj.LongTensor([1, 2]).dtype is gj.int64
    assert gj.ones(2).type(gj.LongTensor).dtype is gj.int64
