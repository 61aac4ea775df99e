"""What programs consist of: templates, whose placeholders a generator fills.

`{t}` a tensor, `{f}` `{i}` `{b}` one of floats, integers, bools; `{w}` one that may be written;
`{p}` a leaf that requires grad; `{d}` a dimension of the tensor before it, `{s}` an index into it,
`{n}` a number, `{k}` a small integer, `{m}` a module, `{o}` an optimizer, `{g}` a global number.
"""

from __future__ import annotations

POINTWISE = """
{t} + {t} | {f} - {f} | {f} * {f} | {f} / ({f}.abs() + 1) | {t} * {n} | {n} - {t} | {f} ** 2
{t} + {n} | {f} * {g} | -{f} | {f}.exp().clamp(max=20.0) | {f}.tanh() | {f}.sigmoid() | {f}.relu()
{f}.abs().sqrt() | ({f}.abs() + 0.5).log() | {f}.sin() * {f}.cos() | T.where({b}, {t}, {t})
T.where({t} > {t}, {f}, {n}) | {f}.clamp({n}, 2.0) | {f}.clamp(min={n}) | T.maximum({f}, {f})
T.minimum({t}, {t}) | {t} == {t} | {t} >= {n} | {i} // 2 | {i} % 3 | {i} & 3 | ~{b} | {b} ^ {b}
{t}.float() | {t}.double() | {t}.long() | {t}.bool() | {t}.to(T.float64) | {f}.floor() | {f}.sign()
{f}.masked_fill({b}, {n}) | F.gelu({f}) | F.silu({f}) | F.softplus({f}) | F.leaky_relu({f}, 0.1)
F.elu({f}) | T.lerp({f}, {f}, 0.3) | T.addcmul({f}, {f}, {f}, value=0.5) | {f}.erf() | {f}.atan()
{t}.logical_and({t}) | T.isnan({f}) | {f}.square() | {f}.rsqrt() | {f}.reciprocal() | {f} ** {n}
"""

REDUCTIONS = """
{f}.sum() | {f}.sum({d}) | {f}.mean({d}, keepdim=True) | {f}.mean() | {t}.sum() | {t}.sum({d})
{f}.var({d}) | {f}.std() | {f}.amax({d}) | {f}.max({d})[0] | {f}.min({d}).indices | {f}.argmax({d})
{f}.prod({d}) | {b}.any() | {b}.all({d}) | {f}.logsumexp({d}) | {f}.softmax({d}) | {f}.norm()
F.log_softmax({f}, dim={d}) | {f}.cumsum({d}) | {f}.sort({d})[0] | {f}.topk(1, dim={d})[0]
F.layer_norm({f}, {f}.shape[-1:]) | F.mse_loss({f}, {f}) | F.l1_loss({f}, {f}) | {f}.amin()
F.cross_entropy({f}, {i}.abs() % 2) | F.smooth_l1_loss({f}, {f}) | {f}.max() | {f}.argmin()
F.cross_entropy({f}, {f}.argmax(-1)) | {f}.var({d}, keepdim=True, unbiased=False) | {f}.mean((0, 1))
"""

VIEWS = """
{t}[{s}] | {t}[{s}] | {t}.t() | {t}.transpose(0, -1) | {t}.unsqueeze({d}) | {t}.squeeze()
{t}.flatten() | {t}.reshape(-1) | {t}.view(-1) | {t}.view(-1, 1) | {t}.expand({k}, *{t}.shape)
{t}.narrow({d}, 0, 1) | {t}.select({d}, 0) | {t}.diagonal() | {t}.permute(*range({t}.ndim)[::-1])
{t}.chunk(2, {d})[0] | {t}.split(1, {d})[-1] | {t}.unbind({d})[0] | {t}.detach() | {t}.clone()
{t}.contiguous() | {t}.expand_as({t}) | {t}.movedim(0, -1) | {t}.unfold({d}, 1, 1)
{t}.reshape({t}.shape)
{t}.squeeze({d}) | {t}.view({t}.shape) | {t}.T | {t}[..., None]
"""

JOINING = """
T.cat([{f}, {f}], {d}) | T.cat([{t}, {t}]) | T.stack([{t}, {t}]) | T.stack([{f}, {f}], -1)
{f} @ {f} | {f} @ {f}.t() | {f}.t() @ {f} | {f}.matmul({f}) | T.outer({f}, {f}) | F.linear({f}, {f})
T.einsum('ij,ij->i', {f}, {f}) | {t}.repeat({k}, 1) | {t}.flip({d}) | {t}.roll(1, {d}) | {f}.tril()
F.pad({f}, (1, 0)) | {t}[{i}.abs() % 2] | {t}[{b}] | {t}.index_select({d}, T.tensor([0, 0]))
{t}.gather({d}, {t}.argsort({d})) | T.take({t}, {i}.abs() % 2) | {t}[:, {i}.abs() % 2] | {f}.triu(1)
{t}[[0, -1]] | {t}[{i}.flatten().abs() % 3] | T.zeros({k}, 2) | T.arange({k}) | T.ones_like({t})
T.full(({k},), {n}) | T.zeros_like({f}).scatter(0, {t}.argsort(0), {n}) | T.tensor({n}) | T.eye({k})
{f}.new_zeros({k}) | T.bmm({f}[None], {f}[None]) | T.linspace(0, 1, {k})
"""

RANDOM = """
F.dropout({f}, 0.5) | T.rand({k}) | T.randn({k}, 2) | T.rand_like({f}) | {f} + T.randn_like({f})
T.randint(0, 5, ({k},)) | T.bernoulli({f}.sigmoid()) | T.normal(0.0, 1.0, ({k},)) | T.randperm({k})
"""

MODULES = """
{m}({f}) | {m}({f}).sum() | F.mse_loss({m}({f}), {m}({f}).detach() * 0.5) | {m}({f}) * {g}
"""

INPLACE = """
{w}.add_({n}) | {w}.mul_({n}) | {w}.add_({t}) | {w}.mul_({f}) | {w}.copy_({t}) | {w}.zero_()
{w}.clamp_(min={n}) | {w}[{s}] = {n} | {w}[{s}] = {t} | {w}[{s}] += {t} | {w}[{s}].mul_({n})
{w}.fill_({n}) | {w}[{b}] = {n} | {w}[{i}.abs() % 2] = {n} | {w}.t().add_({f})
{w}.view(-1)[0] = {n}
{w}.masked_fill_({b}, {n}) | {w}.relu_() | {w}.sub_({w}) | {w}.transpose(0, -1)[{s}] = {n}
{w}.flatten()[0] = {n} | {w}.index_add_(0, T.tensor([0]), {f}) | {w}[..., 0] = {t} | {w}.exp_()
{w}.unsqueeze(0).add_({n}) | {w}.diagonal().fill_({n}) | {w}[{i}.abs() % 2] += {n} | {w}.tanh_()
{w}.uniform_() | {w}.normal_() | {w}.bernoulli_(0.5) | {w}.squeeze_() | {w}.detach_()
"""

EFFECTS = """
({f} * {f}).sum().backward() | {f}.mean().backward() | {f}.sum().backward(retain_graph=True)
{p}.grad = None | {o}.zero_grad() | {o}.step() | F.mse_loss({m}({f}), {f}).backward()
({p} * {f}).sum().backward() | {m}({f}).pow(2).mean().backward() | {p}.grad.mul_(0.5)
{p}.grad.zero_() | {m}.zero_grad(set_to_none=False) | {p}.grad = {p}.detach() * 2
with T.no_grad(): {p}.mul_(0.9) | with T.no_grad(): {p}.sub_({p}.grad * 0.1) | {o}.zero_grad(False)
nn.utils.clip_grad_norm_({m}.parameters(), 0.5) | {p}.data.mul_(0.9) | {p}.data[{s}] = {n}
{p}.requires_grad_(False) | {m}.eval() | {m}.train() | {o}.param_groups[0]['lr'] = 0.02
h0.value = {f} | l0.append({n}) | l0[0] = {n} | h0.count = h0.count + 1 | T.manual_seed({k})
"""

GRADIENTS = """
T.autograd.grad(({f} * {p}).sum(), {p})[0] | T.autograd.grad({f}.sum(), {f}, allow_unused=True)[0]
T.autograd.grad(({p} ** 3).sum(), {p}, create_graph=True)[0] | {p}.grad | {p} * {f} | {p}.tanh()
T.autograd.grad(({f} * {f}).sum(), {p}, create_graph=True)[0] | {p}.detach() | {p}[{s}] * {f}
"""

PYTHON = """
{f} * len(l0) | {f} + l0[0] | {f} * h0.scale | {f} * d0['s'] | {f} + h0.value | {f} * s | s + {f}
{f} if s else -{f} | [{f}, {f}][1] | {f} * {t}.shape[0] | sum(l0) * {f} | {f} * d0.get('u', 2.0)
{f} + h0.count | {f} * {f}.numel() | {f} + sum(q for q in l0) | {f} * float({g}) | {f}[:len(l0)]
{f} if {f}.sum() > 0 else -{f} | {f} * {f}.sum().item() | {f}.sum().item() | {f}.tolist()
"""

#: what Python may do between two calls
CHANGES = """
g0 = {n} | l0[0] = {n} | l0.append({n}) | l0.pop() | d0['s'] = {n} | d0['u'] = {n} | h0.scale = {n}
h0.value = {n} | h0.count = 5 | {o}.param_groups[0]['lr'] *= 0.5 | {m}.eval() | {m}.train()
{o}.param_groups[0]['weight_decay'] = 0.1 | {o}.param_groups[0]['lr'] = 0.0 | {p}.grad = None
{p}.grad = {p}.detach().clone() | {o}.zero_grad() | {p}.requires_grad_(False) | {p}.requires_grad_()
c0 = data({k}, c0.shape, 'float32') | c0.add_(1) | c0.data = c0.detach() * 2 | T.manual_seed({k})
c0 = c0.double() | c0 = c0[:1] | {a}.mul_(0.5) | {a}.data = {a}.detach() + 1 | c0 = c0.t()
{p}.grad = {p}.grad
with T.no_grad(): {p}.mul_(0.9) | {p}.data = {p}.detach() * 0.5 | h0 = Holder() | {o}.step()
r0.add_(1) | r0[0].mul_(2) | T.rand(3) | {a} = {a}.detach().clone().requires_grad_()
{a}.requires_grad_()
{p}.grad.zero_() | {p}.register_hook(lambda g: g * 2)
{m}.register_forward_hook(lambda m, a, o: o * 2)
{m}[0] = nn.Linear(4, 4) | {m}.requires_grad_(False) | {m}.zero_grad() | {m}.double()
c0.requires_grad_()
T.set_rng_state(T.get_rng_state()) | {m}.load_state_dict({m}.state_dict()) | {m}[0].bias = None
{o}.param_groups[0]['momentum'] = 0.5 | function.__defaults__ = (3.0,) | h0.scale = c0
{a} = {a}.t()
T.set_default_dtype(T.float64) | T.set_default_dtype(T.float32) | {a} = {a}.expand(2, *{a}.shape)
Holder.scale = {n} | c0 = {a} | c0 = {a}[:1] | {p}.grad.add_(1)
"""

MODELS = (
    "nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))",
    "nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.3))",
    "nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU())",
    "nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))",
    "nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))",
)

OPTIMIZERS = (
    "optim.SGD({}, lr=0.1)",
    "optim.SGD({}, lr=0.1, momentum=0.9)",
    "optim.SGD({}, lr=0.05, momentum=0.5, nesterov=True, weight_decay=0.01)",
    "optim.Adam({}, lr=0.01)",
    "optim.AdamW({}, lr=0.01)",
    "optim.Adam({}, lr=0.01, amsgrad=True)",
    "optim.RMSprop({}, lr=0.01)",
    "optim.Adagrad({}, lr=0.1)",
)

SHAPES = ((), (1,), (2,), (3,), (4,), (0,), (2, 3), (3, 3), (3, 4), (4, 4), (1, 4), (3, 1), (2, 4),
          (2, 3, 4), (2, 1, 3), (0, 3), (2, 0), (1, 1), (5,), (7, 4), (17, 3))  # fmt: skip

DTYPES = ("float32", "float32", "float32", "float64", "int64", "bool")

#: how an argument made by `data` is looked at before it is passed
DISGUISES = ("{}", "{}", "{}", "{}.t()", "{}[::2]", "{}[1:]", "{}.transpose(0, -1)",
             "{}[..., ::2]", "{}.expand(2, *{}.shape)", "{}[:, :2]", "{}.unsqueeze(0)",
             "{}[None].expand(3, *{}.shape)", "{}.requires_grad_()")  # fmt: skip


def templates(*tables: str) -> list[str]:
    """The templates of tables, one to an entry."""
    rows = [row for table in tables for row in table.strip().split("\n")]
    return [entry.strip() for row in rows for entry in row.split(" | ")]
