"""Functions and methods give PyTorch's values, dtypes, shapes and errors."""

import pytest

torch = pytest.importorskip("torch")
from peers import assert_same  # noqa: E402

pytestmark = pytest.mark.parity

SETUP = """
x = t.tensor([[1.5, -2.0, 3.0], [0.5, 5.0, -6.0]])
y = t.tensor([[0.5, 2.0, -1.0], [1.5, 0.25, 4.0]])
z = t.arange(24.0).reshape(2, 3, 4)
i = t.tensor([3, 1, 2])
j = t.tensor([[0, 2, 1], [1, 1, 0]])
b = t.tensor([True, False, True])
m = t.tensor([[True, False, True], [False, False, True]])
u = t.tensor([1, 200, 3], dtype=t.uint8)
d = t.tensor([1.0, 2.0, 3.0], dtype=t.float64)
h = t.tensor([1.0, 2.0, 3.0], dtype=t.float16)
s = t.tensor(2.0)
k = t.tensor(7)
c = t.tensor([1 + 2j, 3 - 1j, 0j])
w = t.tensor([1.0, 2.0])
e = t.zeros(0, 3)
"""

VALUES = """
x + y; x - y; x * y; x / y; x // y; x % y; x ** 2; x ** y.abs(); 2 ** x; x + 1; 1 + x; x - 1; 1 - x; x * 2; 2 * x
x / 2; 2 / x; x // 2; 7 // x; x % 2; 7 % x; -x; +x; abs(x); i + 1; i + 1.5; i * 2; i / 2; i // 2; i % 2
i ** 2; i ** 2.0; 2 ** i; i - 1; 1 - i; -i; ~i; ~b; i & 1; i | 1; i ^ 1; i << 1; i >> 1; b & b; b | b; b ^ b
b + b; b * b; b + 1; b * 1.5; b / b; u + 1; u * 2; u + 300; u - 5; u / 2; u // 2; u % 7; -u; ~u; u << 1; d + x[0]; h + 1
h * x[0]; h + d; i + h; i * s; s * i; s + k; x + s; x * k; i + k; d * 1; b + i; u + i; u + b; c + 1; c * 2; c + x[0]; c * c
x > y; x >= 1; x < y; x <= 1; x == y; x != 1; i == 1; b == True; i > 1.5; x == None; x != None; 1 < x; 2 >= i
x @ y.T; x @ w.new_ones(3); z @ z.mT; z @ t.ones(4); i @ i; t.ones(3) @ z.mT; x.mm(y.t()); x.matmul(z.new_ones(3, 2))
t.add(x, y, alpha=2); x.add(1, alpha=3); x.sub(y, alpha=2); t.sub(1, x); t.rsub(x, 1); x.mul(2); x.div(2)
x.div(y, rounding_mode='floor'); x.div(y, rounding_mode='trunc'); i.div(2, rounding_mode='trunc'); (-i).div(2, rounding_mode='floor')
(-i).div(2, rounding_mode='trunc'); x.remainder(2); x.fmod(2); (-i).fmod(2); (-i).remainder(2); x.pow(3); x.pow(0.5); x.pow(-1); x
t.pow(2, i); t.remainder(7, i); x.atan2(y); x.maximum(y); t.minimum(x, y); t.max(x, y); t.min(x, y)
x.exp(); x.abs().log(); x.abs().sqrt(); x.abs().rsqrt(); x.reciprocal(); x.exp2(); x.expm1(); x.abs().log1p(); x.abs().log2(); x.abs().log10()
x.sin(); x.cos(); x.tan(); (x / 10).asin(); (x / 10).acos(); x.atan(); x.sinh(); x.cosh(); x.tanh(); x.asinh(); (x.abs() + 1).acosh(); (x / 10).atanh()
x.sigmoid(); x.relu(); x.erf(); x.erfc(); x.sign(); x.floor(); x.ceil(); x.round(); x.trunc(); x.frac(); x.neg(); x.square(); t.round(x / 3, decimals=2)
i.exp(); i.sqrt(); i.sin(); i.floor(); i.round(); b.exp(); i.sigmoid(); i.sign(); b.sign(); i.abs(); i.reciprocal(); b
x.isnan(); x.isinf(); x.isfinite(); i.isnan(); i.isfinite(); (x / 0).isinf(); (x * 0 / 0).isnan(); (x / 0).nan_to_num(); (x * 0 / 0).nan_to_num(nan=7.0)
x.clamp(0, 1); x.clamp(min=0); x.clamp(max=1); i.clamp(2, 3); i.clamp(min=1.5); x.clamp(min=y); x.clamp(y, y + 1); x.clip(-1, 1); x.clamp_min(0); x.clamp_max(0)
x.logical_and(y); t.logical_or(b, i); b.logical_xor(i); x.logical_not(); i.logical_not(); t.bitwise_and(i, 1); b.bitwise_not()
t.where(m, x, y); t.where(m, x, 0); t.where(m, 1, 0); t.where(m, 1.0, 0); t.where(m, x, i); x.where(m, y); t.where(m, i, 0.5)
x.lerp(y, 0.5); x.lerp(y, y); t.addcmul(x, x, y, value=2); t.addcdiv(x, x, y); x.logit(0.1); x.heaviside(t.tensor(0.5)); x.copysign(y); x.copysign(-1)
x.hypot(y); x.xlogy(y.abs()); x.logaddexp(y); x.rad2deg(); x.deg2rad(); x.signbit(); (x / 0).isposinf(); (x / 0).isneginf(); x.isclose(x + 1e-9)
x.sum(); x.sum(0); x.sum(1, keepdim=True); x.sum((0, 1)); x.sum(dim=-1); x.sum(axis=0, keepdims=True); i.sum(); b.sum(); u.sum(); h.sum(); x.sum(dtype=t.float64); i.sum(dtype=t.float32); z.sum((0, 2))
x.sum(dim=[]); e.sum(); e.sum(0); e.sum(1); s.sum(); s.sum(0); x.mean(); x.mean(0); x.mean(1, True); x.mean((0, 1)); i.mean(dtype=t.float32); e.mean(); x.nansum(); x.nanmean()
x.prod(); x.prod(0); x.prod(1, True); i.prod(); e.prod(); x.var(); x.var(0); x.var(1, unbiased=False); x.var(correction=2); x.std(); x.std(0, keepdim=True); x.std(False); x
t.var_mean(x, 0); t.std_mean(x); x.max(); x.max(0); x.max(1, keepdim=True); x.min(); x.min(dim=-1); i.max(); b.max(); i.min(0); x.amax(); x.amax(0); x.amin((0, 1)); x.amax(1, True); x.aminmax()
x.argmax(); x.argmax(0); x.argmax(1, True); x.argmin(); i.argmin(); x.argmin(dim=-1, keepdim=True); b; s.argmax(); s.max(0); k.sum(0)
x.all(); x.any(); m.all(0); m.any(1, keepdim=True); i.all(); u.all(); (x > 0).all(1); m.all((0, 1)); x.count_nonzero(); m.count_nonzero(0); x.logsumexp(0); x.logsumexp((0, 1)); x.logsumexp(1, True); i.logsumexp(0)
x.norm(); x.norm(1); x.norm(2, 0); x.norm(p=float('inf')); x.norm(p=1, dim=1, keepdim=True); x.norm('fro'); x.norm(0); x.norm(3); t.norm(x, dim=1); x.dist(y); x.dist(y, 1); d.norm()
x.softmax(0); x.softmax(-1); x.log_softmax(1); i.softmax(0, dtype=t.float32); x.equal(x); x.equal(y); x.allclose(x + 1e-9); t.equal(i, i.float())
x.view(3, 2); x.view(-1); x.view((6,)); x.reshape(3, -1); x.t().reshape(6); x.t(); x.T; z.permute(2, 0, 1); z.permute((1, 0, 2)); z.transpose(0, -1); z.mT; z.movedim(0, 2); z.movedim((0, 1), (1, 2)); z.swapaxes(0, 1)
x.unsqueeze(0); x.unsqueeze(-1); x[None].squeeze(); x[None, :, None].squeeze(0); x[None, :, None].squeeze((0, 2)); x.squeeze(0); z.flatten(); z.flatten(1); z.flatten(0, 1); s.flatten(); z.ravel(); z.unflatten(2, (2, -1)); z.unflatten(-1, (2, 2))
x.expand(2, 2, 3); x[:1].expand(4, -1); i.expand(2, 3); s.expand(2, 2); x.expand_as(z.new_ones(4, 2, 3)); t.broadcast_to(i, (2, 3)); t.broadcast_tensors(i, i[:, None]); t.broadcast_shapes((3, 1), (2,))
t.cat([x, y]); t.cat((x, y), 1); t.cat([x, y], dim=-1); t.cat([x, i[None]]); t.cat([e, x]); t.cat([t.zeros(0), x]); t.cat([i, d]); t.stack([x, y]); t.stack([x, y], 2); t.stack([x, y], -1); t.stack([i, d])
t.hstack([i, i]); t.hstack([x, y]); t.vstack([i, i]); t.dstack([x, y]); t.column_stack([i, i]); t.atleast_2d(i); t.atleast_3d(x); t.atleast_1d(s, i)
z.split(2, 1); z.split([1, 2], 1); z.split(5); z.chunk(2, -1); z.chunk(3, 2); z.unbind(1); t.unbind(x); z.tensor_split(3, 2); z.tensor_split([1, 3], 2); i.hsplit(3); z.vsplit(2); z.dsplit(2); e.chunk(2)
z.narrow(1, 1, 2); z.narrow(2, -2, 1); z.select(1, -1); z.diagonal(); z.diagonal(1, 1, 2); z.diagonal(-1, 0, 2); x.diag(); i.diag(); i.diag(1); i.diag_embed(); x.diag_embed(-1); i.diagflat(); z.unfold(2, 2, 1); z.unfold(1, 3, 2)
x.repeat(2, 2); x.repeat(2, 1, 1); i.repeat(3); x.tile(2); x.tile((2, 1)); x.tile(2, 1, 2); z.flip(0); z.flip(0, 2); z.flip((1,)); x.fliplr(); x.flipud(); z.roll(1); z.roll(1, 0); z.roll((1, -1), (0, 2)); x.rot90(); x.rot90(2); x.rot90(-1)
t.meshgrid(i, d.long(), indexing='ij'); t.meshgrid(i, d.long(), indexing='xy'); t.cartesian_prod(i, i); x.tril(); x.triu(1); z.tril(-1); t.block_diag(x, i[None]); t.tril_indices(3, 3); t.triu_indices(2, 3, 1); t.trace(x)
t.outer(i, i); t.inner(x, y); x; t.tensordot(z, z, ([1, 2], [1, 2])); t.tensordot(x, y.T, 1); t.dot(i, i); t.mv(x, d.float()); t.bmm(z, z.mT); t.addmm(x @ y.T, x, y.T, beta=0.5, alpha=2); t.addmv(w, x, d.float()); t.baddbmm(z @ z.mT, z, z.mT); t.addr(t.zeros(3, 3), d.float(), d.float()); x
x.gather(1, j); z.gather(2, z.long() % 4); x.gather(0, j % 2); x.index_select(1, i - 1); x.index_select(0, t.tensor(1)); x.take(j); x.scatter(1, j, y); x.scatter(1, j[:, :1], 9.0); x.scatter_add(1, j, y); x.scatter(1, j, y, reduce='add'); x.index_add(1, i - 1, y); x.index_add(0, t.tensor([1]), y[:1], alpha=2)
x.index_copy(1, t.tensor([2, 0]), y[:, :2]); x.index_fill(1, t.tensor([0]), 9); x.index_put((t.tensor([0, 1]), t.tensor([1, 1])), t.tensor(9.0)); x.index_put((t.tensor([0, 0]),), t.tensor(1.0), accumulate=True); x.put(t.tensor([0, 5]), t.tensor([9.0, 8.0])); t.take_along_dim(x, x.argsort(1), 1); t.take_along_dim(x, t.tensor([3]))
x.scatter_reduce(1, j, y, 'sum'); x.scatter_reduce(1, j, y, 'mean'); x.scatter_reduce(1, j, y, 'amax'); x.scatter_reduce(1, j, y, 'prod', include_self=False); x.scatter_reduce(1, j, y, 'mean', include_self=False)
x.masked_fill(m, 9); x.masked_fill(m, s); i.masked_fill(b, 7.9); x.masked_select(m); x.masked_scatter(m, y); x.nonzero(); m.nonzero(as_tuple=True); t.argwhere(m); t.where(m); s.nonzero(); i.nonzero()
x.sort(); x.sort(0, descending=True); x.argsort(); x.argsort(0, True); i.sort(); s.sort(); x.msort(); x.topk(2); x.topk(1, 0, largest=False); x.kthvalue(2); x.kthvalue(1, 0, True); x.median(); x.median(1); x.median(0, True); j.mode(); x.cumsum(0); x.cumprod(1); i.cumsum(0); b.cumsum(0); x.cummax(1); x.cummin(0); x.logcumsumexp(0); i.cumsum(0, dtype=t.float32)
x.diff(); x.diff(dim=0); x.diff(n=2); j.unique(); j.unique(return_counts=True); j.unique(return_inverse=True); j.unique(dim=0); t.unique_consecutive(j, return_counts=True); i.bincount(); i.bincount(minlength=6); t.searchsorted(i.sort()[0], k); t.searchsorted(d, t.tensor([[1.0, 2.5]], dtype=t.float64), right=True); t.bucketize(x, d.float()); t.isin(i, t.tensor([1, 3])); x.histc(4); i.repeat_interleave(2); x.repeat_interleave(2, 0); x.repeat_interleave(t.tensor([1, 2]), 0); x.quantile(0.5); x.quantile(t.tensor([0.25, 0.75]), 1)
x.double(); x.int(); x.long(); x.half(); x.bool(); x; i.float(); i.to(t.float64); x.to('cpu', t.double); x.to(d); x.to(t.int, copy=True); x.type(t.LongTensor); x; x.type_as(i); x.short(); i.char(); x
x.numel(); x.dim(); x.size(); x.size(0); x.size(-1); x.shape; x.ndim; len(x); x.stride(); x.t().stride(); z.stride(1); x.storage_offset(); x[1].storage_offset(); x.is_contiguous(); x.t().is_contiguous(); x.element_size(); x.nbytes; x.itemsize; x.nelement(); x.ndimension(); x.is_floating_point(); i.is_floating_point(); x.is_complex(); x.is_signed(); u.is_signed(); x.dtype; x.is_cuda; x.requires_grad; x.is_leaf; x.get_device()
s.item(); k.item(); x.tolist(); bool(s); int(s); float(k); k.__index__(); [1, 2, 3, 4, 5, 6, 7, 8][k]; x[0, 0].item(); complex(s); list(i); tuple(x); [v.item() for v in i]; 3 in i; 9 in i; i[0] in i; f'{s:.3f}'; f'{k:d}'; '%.2f' % s; max(i); min(i); sum(i); sorted(i); list(reversed(i))
t.is_tensor(x); t.is_tensor(3); t.numel(x); t.is_floating_point(x); t.is_nonzero(s); t.result_type(i, 1.5); t.result_type(x, d); t.result_type(s, i); t.promote_types(t.int32, t.float16); t.can_cast(t.float, t.int); t.can_cast(t.int, t.float); t.get_default_dtype(); t.finfo(t.float32).eps; t.iinfo(t.int8).max
t.zeros(2, 3); t.ones(2); t.zeros((2, 3)); t.ones([2, 3]); t.zeros(()); t.ones(2, dtype=t.int64); t.zeros(2, dtype=int); t.zeros(size=(2,)); t.full((2,), 7); t.full((2,), 1.5); t.full((2, 2), True); t.full((), 3); t.eye(3); t.eye(2, 3); t.eye(2, dtype=t.long); t.zeros_like(x); t.ones_like(i); t.full_like(x, 3); t.ones_like(x, dtype=t.int32); t.empty(2, 3).shape; t.empty_like(i).dtype
t.arange(5); t.arange(5.0); t.arange(1, 5); t.arange(0, 1, 0.25); t.arange(5, 0, -2); t.arange(3, dtype=t.float64); t.arange(2.5); t.arange(0, 5, 2); t.linspace(0, 1, 5); t.linspace(10, 1, 10); t.linspace(-5, 5, 200); t.linspace(0, 10, 5, dtype=t.int32); t.linspace(3, 4, 1); t.linspace(0, 1, 7, dtype=t.float64); t.logspace(0, 2, 3); t.logspace(0, 3, 4, base=2)
t.tensor(3); t.tensor(3.5); t.tensor(True); t.tensor([1, 2]); t.tensor([1, 2.5]); t.tensor([True, 2]); t.tensor([[1, 2], [3, 4]]); t.tensor([]); t.tensor([[], []]); t.tensor(np.arange(3)); t.tensor(np.float32(2)); t.tensor([np.float64(1)]); t.tensor(1j); t.tensor([1, 2], dtype=t.float16); t.tensor([1.9, -1.9], dtype=t.int32); t.tensor((1, 2)); t.tensor(range(3)); t.tensor([s, 1]); t.tensor([-1], dtype=t.uint8); t.tensor([0.0, 2.0], dtype=t.bool); t.tensor([1.0], requires_grad=True); t.tensor([np.array([1, 2]), np.array([3, 4])]); t.tensor([1e40])
t.as_tensor([1, 2]); t.as_tensor(np.ones(2)); t.as_tensor(3.0); t.from_numpy(np.arange(3, dtype='i2')); t.asarray([1.0]); t.scalar_tensor(3); x.new_tensor([1, 2]); x.new_zeros(2, 3); i.new_ones(2); x.new_full((2,), 3); i.new_empty(2).dtype; x.new_zeros((2,), dtype=t.int64)
t.Tensor(2, 3).shape; t.Tensor([1, 2]); t.Tensor().shape; t.FloatTensor([1, 2]); t.LongTensor([1, 2]); t.DoubleTensor([1]); t.IntTensor([1.7]); t.BoolTensor([0, 2]); t.ByteTensor([1]); t.Tensor(3).shape; t.LongTensor(2, 2).shape; t.Tensor(np.ones(2)); t.Tensor(x); isinstance(x, t.FloatTensor); isinstance(i, t.FloatTensor); t.Tensor(t.Size([2, 3])).shape
x.T.contiguous(); x.clone(); x.detach(); x.data; x.cpu(); x.numpy(); x.view_as(y); x.reshape_as(y.T); x.is_set_to(x); x.is_same_size(y); np.sin(x); np.add(x, 1); np.asarray(x); np.array(i, dtype=float); np.add(np.ones((2, 3)), x)
""".replace("\n", ";").split(";")  # fmt: skip


@pytest.mark.parametrize("text", [v.strip() for v in VALUES if v.strip()])
def test_value(text):
    assert_same(text, SETUP, rtol=2e-6, atol=1e-6)
