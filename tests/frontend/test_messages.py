"""Bad input raises PyTorch's class with PyTorch's words, and the user's line after them."""

import pytest

import graphjit as gj

torch = pytest.importorskip("torch")
from peers import assert_same, outcome

pytestmark = pytest.mark.parity

SETUP = """
x = t.tensor([[1.5, -2.0, 3.0], [0.5, 5.0, -6.0]])
z = t.arange(24.0).reshape(2, 3, 4)
i = t.tensor([3, 1, 2])
j = t.tensor([[0, 2, 1], [1, 1, 0]])
b = t.tensor([True, False, True])
d = t.tensor([1.0, 2.0, 3.0], dtype=t.float64)
w = t.tensor([1.0, 2.0])
s = t.tensor(2.0)
e = t.zeros(0, 3)
g = t.ones(3, requires_grad=True)
"""

ERRORS = """
x + w; x - w; x * t.ones(4); x / w; x > w; x.pow(w); t.where(x > 0, x, w); x.maximum(w); x.add_(z)
w.add_(x); x.atan2(w); x + None; x + 'a'; x + [1, 2]; x < 'a'; [1] + x; x - b; b - b; b - 1; -b; +b
~x; x & x; x << 1; i % 0; i // 0; i ** -1; t.exp(1.0); t.exp('a'); t.maximum(x, 1.0); t.neg(3)
t.add(i, 1, alpha=1.5); t.sum(3); t.logical_and(b, 1); x.div(2, rounding_mode='up'); x.clamp()
t.where(x, x, 0); i.addcdiv(i, i); x @ x; x.mm(x); x.mm(i); z.mm(z); x @ d; x.mm(x.double().T)
z @ z; t.bmm(z, z); t.bmm(x, x); i @ w; i.dot(d); x.dot(x); x.mv(w); i @ t.ones(2, dtype=t.long)
s @ x; x @ s; t.addmm(x, x, x); x.mv(x); x.sum(2); x.sum((0, 0)); x.sum((0, 5)); x.mean(-3)
i.mean(); x.sum(0, 1); x.max(2); e.max(); e.max(0); e.argmax(); e.amax(0); x.argmax(3); x.prod(2)
x.std(5); i.std(); s.sum(1); x.softmax(2); x.logsumexp(2); i.norm(); x.var((0, 2)); x.any(4)
x.view(4); x.view(-1, -1); x.view(-1, 4); x.t().view(6); x.view(-2, 3); x.reshape(5)
x.reshape(-1, 4); e.reshape(-1, 0); z.permute(0, 1); z.permute(0, 0, 1); z.permute(0, 1, 5)
z.transpose(0, 3); z.t(); x.unsqueeze(3); x.unsqueeze(-4); x.squeeze(2); x.flatten(1, 0)
x.flatten(2); z.unflatten(2, (3, 2)); x.expand(3, 3); x.expand(3); x.expand(-1, 2, 3)
z.select(1, 3); z.select(3, 0); s.select(0, 0); z.narrow(1, 2, 2); z.narrow(1, 0, -1); z.split(0)
z.split(-1); z.split([1, 1], 1); z.chunk(0); z.split(2, 3); s.unbind(); z.diagonal(0, 1, 1)
z.unfold(2, 5, 1); z.flip(3); z.flip(0, 0); z.roll(1, (0, 1)); z.repeat(2)
t.broadcast_tensors(i, w); z.movedim(0, 3); t.cat([]); t.cat([x, z]); t.cat([x, x], 2)
t.cat([x, x[:, :1]]); t.cat(x); t.cat([x, 1]); t.cat([s, s]); t.stack([]); t.stack([x, i])
t.stack([x, x], 4); t.meshgrid(i, d, indexing='ij'); x.gather(1, i); x.gather(1, j.float())
x.gather(1, j + 5); x.scatter(1, j + 5, x); x.index_select(1, d); z[:, [0, 5]]; x.gather(2, j)
x.take(j + 100); x.scatter(1, j.float(), x); x.scatter(1, i, x); x.masked_fill(i, 0)
x.masked_fill(x > 0, w); x.topk(4); x.topk(2, 3); x.sort(2); x.kthvalue(4); x.cumsum(2)
t.bincount(-i); t.bincount(x); x[2]; x[0, 3]; x[0, 0, 0]; x[-3]; x[5:, 4]; x['a']; x[1.0]; x[::-1]
x[::0]; s[0]; s[:]; x[t.tensor([0, 2])]; x[t.tensor([[True]])]; x[b]; x[d]; x[[0, 1], [0, 1, 2]]
x[..., 0, 0, 0]; x[None, 2]; x[:, 5]; x[1:2, 5]; x[t.tensor(5)]; x[t.tensor([-3])]
x[True, False, 0, 0, 0]; x[w]; bool(x); bool(e); int(x); float(x); x.item(); e.item(); len(s)
iter(s); [1, 2][s]; [1, 2][i]; range(s); 'a' in x; f'{x:.2f}'; complex(x); x.__index__()
hash(x) and None; s.__index__(); g.numpy(); np.asarray(g); g.add_(1); g[0].add_(1); g.mul_(2)
g.zero_(); g.copy_(g * 2); g.requires_grad_(False).sum().backward(); i.requires_grad_()
(g * 2).requires_grad_(False); x.backward(); (x * 2).sum().backward(); (g * 2).backward()
(g * 2).backward(t.ones(2)); t.autograd.grad(g.sum(), x)
t.autograd.grad(g.sum(), [g, t.ones(1, requires_grad=True)]); t.autograd.grad((g * 2), g)
t.autograd.grad(g.sum(), [g, None]); t.autograd.grad(g.sum(), [1.0, x]); t.autograd.grad(s, [None])
t.autograd.grad(g.sum(), [x, None]); t.autograd.grad(g.sum(), [])
x.retain_grad(); x.register_hook(print); g.resize_(2); i.add_(1.5); i.mul_(0.5); i.div_(2)
b.add_(1); x.int().sqrt_(); i.copy_(x); w.copy_(x); i.fill_(x); x.fill_(1j); t.add(x, x, out=i)
t.add(g, g, out=t.empty(3)); t.add(x, x, out=t.empty(2, 3, dtype=t.int32)); x[0].copy_(t.ones(4))
t.zeros(3).expand(2, 3).add_(1); t.zeros(1).expand(3).add_(1); t.zeros(2.5); t.zeros('a')
t.zeros(); t.zeros(2, [3]); t.zeros(2, dtype='float'); t.zeros(2, dtype=np.float32); t.full(2, 1)
t.eye(-1); t.arange(1, 0); t.arange(0, 5, 0); t.linspace(0, 1, -1); t.rand(2.0)
t.randn(2, dtype=t.int64); t.rand(2, dtype=t.long); t.randint(5, 3, (2,)); t.normal(t.zeros(3), -1)
t.bernoulli(t.tensor([2.0])); t.manual_seed('a'); t.manual_seed(2**65); t.zeros(2, device='cuda')
t.ones_like([1]); t.tensor([[1, 2], [3]]); t.tensor([[1, 2], 3]); t.tensor([1, [2]]); t.tensor('a')
t.tensor(['a']); t.tensor(None); t.tensor([None]); t.tensor(2**63); t.tensor([300], dtype=t.uint8)
t.tensor([1], requires_grad=True); t.tensor(1j, dtype=t.float32); t.tensor({1: 2})
t.tensor([t.ones(2), t.ones(2)]); t.from_numpy([1]); t.from_numpy(np.ones(3)[::-1])
t.as_tensor(np.ones(3)[::-1]); t.from_numpy(np.array([1], '>f4')); t.Tensor(2.5)
t.LongTensor(t.ones(2)); x.cuda(); x.to('cuda'); i.mT; z.H; x.type('torch.Foo'); t.finfo(t.int32)
x; x.__setitem__(0, [1, 2]); x.__setitem__((0, 0), w); x.__setitem__(0, t.ones(4))
x.__setitem__(5, 1); x.__setitem__(slice(None, None, -1), 1); x.__setitem__(t.tensor([0, 5]), 1.0)
x.__setitem__(t.tensor([0, 1]), t.ones(4)); x.__setitem__(x > 0, t.ones(9)); x.__setitem__(b, 1.0)
x.__setitem__('a', 1); x.__setitem__(0, 'a'); g.__setitem__(0, 1.0); i.__setitem__(0, 1j)
x.__setitem__(0, None); s.index_put((t.tensor([0]),), s); i.index_put_((i[:0], i[:0]), i[0])
s.index_add(0, i[:1], w[:1]); s.index_add(0, i[:1], x[:1, :1]); s.index_add(0, i[1:2], s)
w.index_add(0, i[:1], s); x.index_add(0, i[:1], s); x.index_add(1, i[:1], w[:1])
x.index_add(0, j, x); x.index_add(0, j.float(), x); x.index_add(0, i[:2], z); w.index_add(0, i, d)
w.index_add(0, i[:2], w); x.index_copy(0, j, x); x.index_copy(0, i[:2], s); x.index_copy(0, i, w)
x.index_copy(0, i.int(), x); x.index_copy(0, i[:2], x.double()); x.index_copy(0, i[:1], x[:1, :2])
x.index_copy(1, i[:1], x[:1, :1]); x.index_copy(0, i, x); s.index_copy(0, i, w)
s.index_copy(0, i, s)
x.as_strided((3, 3), (3, 1)); s.as_strided((2, 2), (1, 1)); x.as_strided((2,), (-1,))
x.as_strided((2,), (1,), 5); x[1].as_strided((4,), (1,)); x.as_strided((2, 2), (1,))
t.multinomial(w, 1.5); t.multinomial(w, t.ones(2))
t.nn.functional.binary_cross_entropy_with_logits(w, w, 0.5)
t.nn.functional.binary_cross_entropy_with_logits(w, w, None, pos_weight=[1.0])
""".replace("\n", ";").split(";")  # fmt: skip


@pytest.mark.parametrize("text", [v.strip() for v in ERRORS if v.strip()])
def test_error(text, monkeypatch):
    monkeypatch.setattr(gj.config, "NAMESPACE", "torch")
    assert_same(text, SETUP)


def test_message_names_the_users_line():
    kind, _ = outcome(gj, "x + w", SETUP)
    assert kind == "RuntimeError"
    with pytest.raises(RuntimeError, match=r"test_messages.py:\d+, test_message_names"):
        gj.ones(2) + gj.ones(3)
