"""What programs consist of: templates, whose placeholders a generator fills.

`{t}` a tensor, `{f}` `{i}` `{b}` one of floats, integers, bools; `{w}` one that may be written;
`{p}` a leaf that requires grad; `{d}` a dimension of the tensor before it, `{s}` an index into it,
`{n}` a number, `{k}` a small integer, `{q}` a Python number that the function has at hand, `{e}` a
list it has; `{c}` a condition; `{}` a new name, the same throughout the template; `{m}` a module,
`{o}` an optimizer, `{u}` a scheduler, `{h}` a function to call; `{r}` a result of an earlier call.
"""

from __future__ import annotations

POINTWISE = """
{t} + {t} | {f} - {f} | {f} * {f} | {f} / ({f}.abs() + 1) | {t} * {n} | {n} - {t} | {f} ** 2
{t} + {n} | {f} * g0 | -{f} | {f}.exp().clamp(max=20.0) | {f}.tanh() | {f}.sigmoid() | {f}.relu()
{f}.abs().sqrt() | ({f}.abs() + 0.5).log() | {f}.sin() * {f}.cos() | T.where({b}, {t}, {t})
T.where({t} > {t}, {f}, {n}) | {f}.clamp({n}, 2.0) | {f}.clamp(min={n}) | T.maximum({f}, {f})
T.minimum({t}, {t}) | {t} == {t} | {t} >= {n} | {i} // 2 | {i} % 3 | {i} & 3 | ~{b} | {b} ^ {b}
{t}.float() | {t}.double() | {t}.long() | {t}.bool() | {t}.to(T.float64) | {f}.floor() | {f}.sign()
{f}.masked_fill({b}, {n}) | F.gelu({f}) | F.silu({f}) | F.softplus({f}) | F.leaky_relu({f}, 0.1)
F.elu({f}) | T.lerp({f}, {f}, 0.3) | T.addcmul({f}, {f}, {f}, value=0.5) | {f}.erf() | {f}.atan()
{t}.logical_and({t}) | T.isnan({f}) | {f}.square() | {f}.rsqrt() | {f}.reciprocal() | {f} ** {n}
{t}.int() | {t} - {i} | {i} * {i} | {i} | {i} | {t} < {t} | {f}.round() | {f}.expm1() | {f}.log1p()
{f}.nan_to_num() | T.atan2({f}, {f}) | T.fmod({f}, 2) | {f} % {n} | {f} // 2 | {i} / {i} | {f} % {f}
{t} | {t} | T.hypot({f}, {f}) | T.logaddexp({f}, {f}) | {i}.abs() | {t}.half() | {i} ** 2
{f}.isfinite()
{f}.float().sqrt() | F.relu6({f}) | F.hardtanh({f}) | F.logsigmoid({f}) | {t}.to({t}.dtype)
{t} != {t}
"""

REDUCTIONS = """
{f}.sum() | {f}.sum({d}) | {f}.mean({d}, keepdim=True) | {f}.mean() | {t}.sum() | {t}.sum({d})
{f}.var({d}) | {f}.std() | {f}.amax({d}) | {f}.max({d})[0] | {f}.min({d}).indices | {f}.argmax({d})
{f}.prod({d}) | {b}.any() | {b}.all({d}) | {f}.logsumexp({d}) | {f}.softmax({d}) | {f}.norm()
F.log_softmax({f}, dim={d}) | {f}.cumsum({d}) | {f}.sort({d})[0] | {f}.topk(1, dim={d})[0]
F.layer_norm({f}, {f}.shape[-1:]) | F.mse_loss({f}, {f}) | F.l1_loss({f}, {f}) | {f}.amin()
F.cross_entropy({f}, {i}.long().abs() % 2) | F.smooth_l1_loss({f}, {f}) | {f}.max() | {f}.argmin()
F.cross_entropy({f}, {f}.argmax(-1)) | {f}.var({d}, keepdim=True, unbiased=False) | {f}.mean((0, 1))
{i}.max() | {i}.amin({d}) | {i}.prod() | {f}.norm(dim={d}) | {f}.median() | {f}.cumprod({d})
{t}.count_nonzero() | {t}.argsort({d}) | F.normalize({f}, dim={d}) | {f}.cummax({d})[0]
{b}.sum({d})
F.binary_cross_entropy_with_logits({f}, {f}.sigmoid()) | F.kl_div({f}, {f}.softmax(-1))
{f}.aminmax()[1]
F.cosine_similarity({f}, {f}, dim={d}) | F.huber_loss({f}, {f}) | {f}.nansum() | {t}.unique().sum()
"""

VIEWS = """
{t}[{s}] | {t}[{s}] | {t}.t() | {t}.transpose(0, -1) | {t}.unsqueeze({d}) | {t}.squeeze()
{t}.flatten() | {t}.reshape(-1) | {t}.view(-1) | {t}.view(-1, 1) | {t}.expand({k}, *{t}.shape)
{t}.narrow({d}, 0, 1) | {t}.select({d}, 0) | {t}.diagonal() | {t}.permute(*range({t}.ndim)[::-1])
{t}.chunk(2, {d})[0] | {t}.split(1, {d})[-1] | {t}.unbind({d})[0] | {t}.detach() | {t}.clone()
{t}.contiguous() | {t}.expand_as({t}) | {t}.movedim(0, -1) | {t}.unfold({d}, 1, 1)
{t}.reshape({t}.shape)
{t}.squeeze({d}) | {t}.view({t}.shape) | {t}.T | {t}[..., None] | {t}.ravel() | {t}.swapaxes(0, -1)
{t}.unflatten({d}, (-1, 1)) | {t}.mT | T.broadcast_tensors({t}, {t})[0] | T.atleast_2d({t})
"""

JOINING = """
T.cat([{f}, {f}], {d}) | T.cat([{t}, {t}]) | T.stack([{t}, {t}]) | T.stack([{f}, {f}], -1)
{f} @ {f} | {f} @ {f}.t() | {f}.t() @ {f} | {f}.matmul({f}) | T.outer({f}, {f}) | F.linear({f}, {f})
T.einsum('ij,ij->i', {f}, {f}) | {t}.repeat({k}, 1) | {t}.flip({d}) | {t}.roll(1, {d}) | {f}.tril()
F.pad({f}, (1, 0)) | {t}[{i}.long().abs() % 2] | {t}[{b}] | {t}.index_select({d}, T.tensor([0, 0]))
{t}.gather({d}, {t}.argsort({d})) | T.take({t}, {i}.long().abs() % 2) | {f}.triu(1)
{t}[:, {i}.long().abs() % 2] | {t}.dot({t}) | {t}.mv({t}) | {f}.mm({f}) | T.diag({f}) | {t}.tile(2)
{t}[[0, -1]] | {t}[{i}.long().flatten().abs() % 3] | T.zeros({k}, 2) | T.arange({k})
T.ones_like({t})
T.full(({k},), {n}) | T.zeros_like({f}).scatter(0, {t}.argsort(0), {n}) | T.tensor({n}) | T.eye({k})
{f}.new_zeros({k}) | T.bmm({f}[None], {f}[None]) | T.linspace(0, 1, {k})
{t}.repeat_interleave(2, {d})
{t}.scatter_add(0, {t}.argsort(0), {t}) | {t}.index_add(0, T.tensor([0, 0]), {t})
T.cumsum({t}, {d})
{t}.nonzero() | {t}.masked_select({b}) | {t}[{i}.long()] | T.nonzero({b})
{t}.index_fill({d}, T.tensor([0]), {n})
F.embedding({i}.long().abs() % 2, {f}) | F.one_hot({i}.long().abs() % 3, 3)
T.einsum('ij,jk->ik', {f}, {f})
T.hstack([{t}, {t}]) | T.vstack([{t}, {t}]) | T.searchsorted({f}.flatten().sort()[0], {f})
"""

RANDOM = """
F.dropout({f}, 0.5) | T.rand({k}) | T.randn({k}, 2) | T.rand_like({f}) | {f} + T.randn_like({f})
T.randint(0, 5, ({k},)) | T.bernoulli({f}.sigmoid()) | T.normal(0.0, 1.0, ({k},)) | T.randperm({k})
T.multinomial({f}.abs() + 0.1, 1) | T.multinomial({f}.sigmoid(), 3, replacement=True)
T.rand(2) > 0.5
T.normal({f}, {f}.abs() + 0.1) | T.randint_like({i}, 3) | {f} * T.rand(1).item()
{t}[T.randperm(2)]
T.rand({k}, dtype=T.float64) | F.dropout({f}, 0.3, training={n} > 0) | {f}.bernoulli()
"""

MODULES = """
{m}({f}) | {m}({f}).sum() | F.mse_loss({m}({f}), {m}({f}).detach() * 0.5) | {m}({f}) * g0
{m}({i}.long().abs() % 5) | {m}({f}) | {m}({f}) | {m}({f}) | {m}({f}).argmax(-1) | {m}({m}({f}))
"""

CALLED = """
{h}({t}) | {h}({f}) | {h}({f}, {n}) | {h}({f}, {q}) | {h}({f}).sum() | {h}({h}({f})) | {h}({p})
"""

INPLACE = """
{w}.add_({n}) | {w}.mul_({n}) | {w}.add_({t}) | {w}.mul_({f}) | {w}.copy_({t}) | {w}.zero_()
{w}.clamp_(min={n}) | {w}[{s}] = {n} | {w}[{s}] = {t} | {w}[{s}] += {t} | {w}[{s}].mul_({n})
{w}.fill_({n}) | {w}[{b}] = {n} | {w}[{i}.long().abs() % 2] = {n} | {w}.t().add_({f})
{w}.view(-1)[0] = {n} | {w}.add_({f}, alpha={n}) | {w}.div_(2) | {w}.neg_() | {w}.lerp_({f}, 0.5)
{w}.masked_fill_({b}, {n}) | {w}.relu_() | {w}.sub_({w}) | {w}.transpose(0, -1)[{s}] = {n}
{w}.flatten()[0] = {n} | {w}.index_add_(0, T.tensor([0]), {f}) | {w}[..., 0] = {t} | {w}.exp_()
{w}.unsqueeze(0).add_({n}) | {w}.diagonal().fill_({n}) | {w}[{i}.long().abs() % 2] += {n}
{w}.tanh_()
{w}.mul_({q}) | {w}[{s}] = {q} | {w}.fill_({q}) | {w}.copy_({w})
{w}[{i}.long().abs() % 2] = {t} | {w}[{b}] = {t} | {w}.addcmul_({f}, {f}) | {w}.sub_({t})
{w}.scatter_(0, {t}.argsort(0), {n}) | {w}.index_fill_(0, T.tensor([0]), {n}) | {w}.add_({w}[{s}])
{w}.index_put_(({i}.long().abs() % 2,), {t}) | {w}[{s}] = {w}[{s}] | {w}[1:] = {w}[:-1]
{w}.copy_({w}.flip(0))
{w}.masked_fill_({t} > {n}, {n}) | {w}[[0, -1]] = {n} | {w}.round_() | {w}.abs_().sqrt_()
{w}.sin_() | {w}.clamp_(-2, 2).square_() | {w}.mul_({p}) | {w}.div_({p}) | {w}.clamp_(-2, 2).pow_(2)
{w}[{w} > {n}] = {n}
"""

RANDOM_INPLACE = """
{w}.uniform_() | {w}.normal_() | {w}.bernoulli_(0.5) | {w}.uniform_(-1, 1) | {w}.normal_(0, 0.1)
{w}.random_(5) | nn.init.uniform_({p}) | T.rand(2) | {w}.exponential_() | nn.init.normal_({p})
"""

EFFECTS = """
({f} * {f}).sum().backward() | {f}.mean().backward() | {f}.sum().backward(retain_graph=True)
{p}.grad = None | {o}.zero_grad() | {o}.step() | F.mse_loss({m}({f}), {f}).backward()
({p} * {f}).sum().backward() | {m}({f}).pow(2).mean().backward() | {p}.grad.mul_(0.5)
{p}.grad.zero_() | {m}.zero_grad(set_to_none=False) | {p}.grad = {p}.detach() * 2
with T.no_grad(): {p}.mul_(0.9) | with T.no_grad(): {p}.sub_({p}.grad * 0.1) | {o}.zero_grad(False)
nn.utils.clip_grad_norm_({m}.parameters(), 0.5) | {p}.data.mul_(0.9) | {p}.data[{s}] = {n}
{p}.requires_grad_(False) | {m}.eval() | {m}.train() | {o}.param_groups[0]['lr'] = 0.02
h0.value = {f} | l0.append({n}) | h0.count = h0.count + 1 | d0['t'] = {f} | {p}.grad = None
h0.value = {f} | h0.value = h0.value * 0.5 + {f}.detach() | {m}.held = {f} | h0.scale = {q}
{u}.step()
nn.utils.clip_grad_norm_([{p}], 0.5) | {o}.param_groups[0]['lr'] = {q}
{f}.register_hook(lambda g: g * 2)
{e}.append({q}) | {e}.append({f}) | {e}.append({f}.sum().item()) | {e}.append({q} > {n})
{e}.append({t})
{w}.squeeze_() | {w}.t_() | {w}.unsqueeze_(0) | {w}.detach_() | T.manual_seed({k})
{p}.sum().backward()
nn.utils.clip_grad_value_([{p}], 0.1) | {h}({f}).sum().backward() | {m}.count = {q}
h0.value = {t}.detach()
"""

#: statements of several lines, as a training step has them
STEPS = (
    "{o}.zero_grad()\n({p} * {f}).sum().backward()\n{o}.step()",
    "{o}.zero_grad()\n{} = {m}({f}).pow(2).mean()\n{}.backward()\n{o}.step()",
    ("{o}.zero_grad()\n{m}({f}).square().mean().backward()\n"
    "if nn.utils.clip_grad_norm_({m}.parameters(), 0.5).isfinite():\n    {o}.step()"),
    ("({p} / {f}).mean().backward()\nif not T.isnan({p}.grad).any():\n    {o}.step()\n"
    "else:\n    {p}.grad = None"),
    "(({p} ** 2).sum() / {n}).backward()\n{o}.step()\n{u}.step()",
    ("{} = T.autograd.grad(({p} * {f}).sum(), {p}, create_graph=True)[0]\n"
    "({} ** 2).sum().backward()"),
    "with T.no_grad():\n    for {} in {m}.parameters():\n        {}.mul_(0.9)",
    "with T.no_grad():\n    {p}.sub_({p}.grad * {q})\n{p}.grad = None",
    "try:\n    {} = {f} @ {f}\nexcept RuntimeError:\n    {} = {f} * 2",
    "try:\n    {w}.add_({t})\nexcept RuntimeError:\n    {w}.add_(1)",
    "with T.enable_grad():\n    ({p} * {f}).sum().backward()",
    "{} = {f}.clone()\nfor j in range({k}):\n    {} = {} * {n} + j",
    "{} = ({p} * {f}).tanh()\n{}.retain_grad()\n{}.sum().backward()\n{} = {}.grad",
)

GRADIENTS = """
T.autograd.grad(({f} * {p}).sum(), {p})[0] | T.autograd.grad({f}.sum(), {f}, allow_unused=True)[0]
T.autograd.grad(({p} ** 3).sum(), {p}, create_graph=True)[0] | {p}.grad | {p} * {f} | {p}.tanh()
T.autograd.grad(({f} * {f}).sum(), {p}, create_graph=True)[0] | {p}.detach() | {p}[{s}] * {f}
T.autograd.grad({m}({p}).sum(), {p}, create_graph=True)[0].norm() | {p} * {p} | ({p} * {q}).sum()
T.autograd.grad({f}.mean(), [{p}], retain_graph=True)[0] | {m}({p} * {f}) | {h}({p} * {f}) | {p} + 0
"""

PYTHON = """
{f} * len(l0) | {f} + l0[0] | {f} * h0.scale | {f} * d0['s'] | {f} + h0.value | {f} * s | s + {f}
{f} if s else -{f} | [{f}, {f}][1] | {f} * {t}.shape[0] | sum(l0) * {f} | {f} * d0.get('u', 2.0)
{f} + h0.count | {f} * {f}.numel() | {f} + sum(q for q in l0) | {f} * float(g0) | {f}[:len(l0)]
{f} if {c} else -{f} | {f} * {f}.sum().item() | {f}.sum().item() | {f}.tolist()
{f} if {c} else {f}
{f} + (0 if k is None else 1) | {f} if k == 'a' else {f} * 2
{f} * sum(k) if type(k) is list else {f}
"""

#: with numbers that were read out of tensors, or passed as arguments
NUMBERS_USED = """
{f} * {q} | {f} + {q} | {q} - {f} | {f}.clamp(max={q}) | T.full(({k},), {q}) | T.tensor({q})
T.tensor([{q}, {q}]) | {t}[:int({q})] | {f}.masked_fill({b}, {q}) | {t}[int(abs({q})) % 2]
{i} + {q}
T.where({b}, {f}, {q}) | T.lerp({f}, {f}, {q}) | {t}.reshape(-1)[:{q}] | T.arange(int({q}) % 5)
{f} ** {q}
T.zeros(int(abs({q})) % 4, 2) | {t}.roll(int({q})) | {f} / {q} | {f} > {q} | T.full_like({t}, {q})
{f} * ({q} + {q}) | {f} * max({q}, {n}) | {f} + math.sin({q}) | {t}.new_tensor([{q}]) | {i} * {q}
{q} / {f}
{f} * {q} if {q} > {n} else {f} | {f}.add({f}, alpha={q}) | F.leaky_relu({f}, {q}) | {f}.sum() * {q}
{t}[{s}] * {q} | {f} * [1, 2, 3][int({q}) % 3] | {f} * sum([{q}, {q}]) | {t} == {q}
T.arange(3) * {q}
"""

#: Python numbers made in the function
NUMBERS = """
{f}.sum().item() | {i}.sum().item() | float({f}.mean()) | int({i}.sum()) | {f}.max().item()
bool({b}.any()) | {b}.any().item() | math.sqrt(abs({q})) | {q} * {n} | {q} + {q} | round({q}, 1)
max({q}, {n}) | abs({q}) | int({q}) % 3 | -{q} | min({q}, 9) ** 2 | {q} / ({q} * {q} + 1) | {q} // 2
{q} % 3
{q} if {c} else {n} | sum([{q}, {q}]) | {t}.shape[0] | len({t}) | {f}.std().item()
{f}.numel() * {q}
{q} > {n} | min(l0) | {f}.argmax().item() | {t}.reshape(-1)[0].item() | float({q}) | int({f}.sum())
{q} - {f}.mean().item() | {q} == {q} | math.floor({q}) | {t}.sum().item() | {f}.norm().item() ** 0.5
min({q}, {f}.sum().item()) | {i}.max().item() | math.exp(min({q}, 2)) | not {q} | {n} / {q}
{q} // {n}
{f}.sum().item() * g0 | h0.scale * {q} | {f}.double().sum().item() | round(float({f}.sum()), 2)
{q} % {n}
float({t}.count_nonzero()) | {q} < {q} | {q} and {n} | {q} or {n} | math.isnan({q})
divmod({q}, 2)[0]
"""

CONDITIONS = """
{f}.sum() > {n} | {f}.mean() < {n} | {b}.any() | {b}.all() | {f}.norm() > {n}
{f}.sum().item() > {n}
float({f}.sum()) > {n} | int({i}.sum()) % 2 | {q} > {n} | {q} | {n} < {q} <= 2.0
{f}.max() > {f}.mean()
{f}.argmax() == 0 | T.isnan({f}).any() | {f}.isfinite().all() | not {b}.any() | T.equal({t}, {t})
{f}.sum() > {n} and {f}.min() < {n} | {f}.min() > -1 or {b}.any() | T.allclose({f}, {f})
h0.count % 2
{f}.sum().item() in (0, 1) | s | s is None | isinstance(s, float) | len(l0) > 2 | k == 1 | k == 'a'
T.is_grad_enabled() | {t}.requires_grad | {t}.ndim > 1 | {t}.dtype == T.float32 | {p}.grad is None
{m}.training | {i}.max() > 2 | math.sqrt(abs({f}.sum().item())) > 1 | {q} == {q} | {f}.sum() < {q}
{f}.sum() > {f}.sum() | {t}.sum() != 0 | {q} < {f}.mean().item() | {t}.shape[0] > 2 | {i}.sum() > 0
bool({f}.sum() > 0) is True | {t}[0].sum() > {n} | s > 1 | {f}.sum() > 0 | {f}.sum() < 0 | {q} > {q}
"""

#: errors that a program may run into, under a condition
RAISES = """
raise ValueError('stop') | raise RuntimeError(f'sum {{f}.shape}') | [][0] | {f} + T.ones(7, 5, 3)
{t}.view(99) | 1 / 0 | l0[9] | None.x | {p}.add_(1) | math.sqrt({q}) | {t}[9] | d0['none']
{n} / {q}
assert {c}, 'low' | assert {f}.sum() > {n} | {t}[{i}.long() + 2]
F.cross_entropy({f}, {i}.long().abs())
{f} @ T.ones(6) | {t}.sum(7) | T.cat([{t}, T.ones(9, 9, 9, 9)]) | {t}.select(0, 5)
raise KeyError({q})
{t}.gather(0, {i}.long() + 1) | T.zeros(3)[{i}.long().abs()] | {f}.sum().backward(T.ones(3))
math.log({q})
F.embedding({i}.long(), {f}) | {t}.tolist()[4] | {w}.add_(T.ones(2, 5, 7))
T.tensor([1, 2]).item() | int('x')
{w}.view(-1)[{k}] = 1; raise IndexError('late') | assert False, f'at {{q}}' | {f}.squeeze(9)
{o}.step(1)
"""

#: what Python may do between two calls
CHANGES = """
g0 = {n} | l0[0] = {n} | l0.append({n}) | l0.pop() | d0['s'] = {n} | d0['u'] = {n} | h0.scale = {n}
h0.value = {n} | h0.count = 5 | {o}.param_groups[0]['lr'] *= 0.5 | {m}.eval() | {m}.train()
{o}.param_groups[0]['weight_decay'] = 0.1 | {o}.param_groups[0]['lr'] = 0.0 | {p}.grad = None
{p}.grad = {p}.detach().clone() | {o}.zero_grad() | {p}.requires_grad_(False) | {p}.requires_grad_()
c0 = data({k}, c0.shape, 'float32') | c0.add_(1) | c0.data = c0.detach() * 2 | T.manual_seed({k})
c0 = c0.double() | c0 = c0[:1] | {a}.mul_(0.5) | {a}.data = {a}.detach() + 1 | c0 = c0.t()
{p}.grad = {p}.grad | {u}.step() | {a}.neg_() | {a}.sub_(1) | {a}.zero_() | c0.neg_()
{a}.fill_({n})
with T.no_grad(): {p}.mul_(0.9) | {p}.data = {p}.detach() * 0.5 | h0 = Holder() | {o}.step()
{r}.add_(1) | {r}[0].mul_(2) | {a} = {a}.detach().clone().requires_grad_() | {p}.data.neg_()
{a}.requires_grad_() | with T.no_grad(): {p}.neg_() | with T.no_grad(): {p}.fill_({n})
{p}.grad.zero_() | {p}.register_hook(lambda g: g * 2) | x0 = {r} | {r}.backward()
{r}[-1].sum().backward()
{m}.register_forward_hook(lambda m, a, o: o * 2) | {o}.param_groups[0]['lr'] = {n} | {h}(c0)
{m}[0] = nn.Linear(4, 4) | {m}.requires_grad_(False) | {m}.zero_grad() | {m}.double()
c0.requires_grad_() | loss({r}).backward() | loss({r}).backward()
loss({r}).backward(retain_graph=True)
T.set_rng_state(T.get_rng_state()) | {m}.load_state_dict({m}.state_dict()) | {m}[0].bias = None
{o}.param_groups[0]['momentum'] = 0.5 | function.__defaults__ = (3.0,) | h0.scale = c0
{a} = {a}.t() | {a} = {r} | {a} = {r}[0] | c0 = {r} | {p}.grad = {r} | h0.value = {r} | step({a})
T.set_default_dtype(T.float64) | T.set_default_dtype(T.float32) | {a} = {a}.expand(2, *{a}.shape)
Holder.scale = {n} | c0 = {a} | c0 = {a}[:1] | {p}.grad.add_(1) | (loss({r}) + loss({r})).backward()
x1 = T.autograd.grad(loss({r}), {p}, create_graph=True)[0] | x1.sum().backward()
loss(x1).backward()
x2 = T.autograd.grad(loss({r}), {a})[0] | (loss({r}) * {p}).sum().backward()
loss([{r}, {p}]).backward()
x1 = T.autograd.grad(loss({r}), [{p}], create_graph=True, allow_unused=True)[0]
h0.value = T.ones(2)
{p}.data = data({k}, {p}.shape, 'float64').to({p}.dtype) | loss({m}({r})).backward() | x3 = {r} * 2
{r}[-1].retain_grad() | {r}[0].register_hook(lambda g: g * 2)
x6 = T.autograd.grad(loss({r}), {r}[0], allow_unused=True)[0]
x6 = T.autograd.grad(loss({r}), {r}[-1], create_graph=True)[0] | {r}[0].data.mul_(2)
with T.no_grad(): {p}.add_(0.5) | with T.no_grad(): {r}[0].mul_(2) | x7 = {r}[0]
x1 = T.autograd.grad(loss({r}), {p}, create_graph=True)[0]; {p}.data.add_(1); loss(x1).backward()
x1 = T.autograd.grad(loss({r}), {p}, create_graph=True)[0]; {u}.step(); loss(x1).backward()
x1 = T.autograd.grad(loss({r}), {p}, create_graph=True)[0]; {r}.data.neg_(); loss(x1).backward()
"""

RANDOM_CHANGES = """
T.rand(3) | T.manual_seed(7) | x4 = T.get_rng_state() | T.set_rng_state(x4) | {a}.normal_()
with T.no_grad(): {p}.uniform_() | x5 = T.randperm(4)
"""

NET = '''\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.held, self.count = nn.Parameter(T.ones(4, 3)), None, 0
    def forward(self, x):
        {}'''

BODIES = (
    "self.held = x.detach() @ self.w\n        return self.held.tanh() * x.sum()",
    "y = x @ self.w\n        return y if y.sum() > 0 else -y",
    "self.count += 1\n        return (x @ self.w) * self.count",
    ("h = x @ self.w if self.held is None else self.held + x @ self.w\n"
    "        self.held = h.detach()\n        return h"),
)

MODELS = (
    "m0 = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))",
    "m0 = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.3))",
    "m0 = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU())",
    "m0 = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))",
    "m0 = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))",
    "m0 = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1))",
    "m0 = nn.Linear(4, 4)",
    "m0 = nn.Sequential(nn.Conv1d(3, 2, 2), nn.ReLU())",
    *(f"{NET.format(body)}\nm0 = Net()" for body in BODIES),
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
    "optim.RMSprop({}, lr=0.01, momentum=0.5, centered=True)",
    "optim.Adadelta({})",
    "optim.Adamax({}, lr=0.01)",
)

SCHEDULERS = ("StepLR(o0, 1, 0.5)", "ExponentialLR(o0, 0.9)", "LambdaLR(o0, lambda n: 1 / (n + 1))",
              "LinearLR(o0, 0.5, 1.0, 3)", "CosineAnnealingLR(o0, 4)")  # fmt: skip

#: functions that the traced one calls
HELPERS = (
    "@trace\ndef f0(u, k=0.5):\n    return u * k + u.sum()",
    "def f0(u, k=0.5):\n    return (u * k).tanh()",
    "@trace\ndef f0(u, k=0.5):\n    if u.sum() > k:\n        return u * 2\n    return -u",
    "@trace\ndef f0(u, k=0.5):\n    u.add_(k)\n    return u[0]",
    "@T.no_grad()\ndef f0(u, k=0.5):\n    return u * k",
    "@trace\ndef f0(u, k=0.5):\n    return u if abs(k) < 0.1 else f0(u * k, k * 0.3) + 1",
    ("def f0(u, k=0.5):\n    return lambda: u * k\nf1 = f0\n"
     "def f0(u, k=0.5):\n    return f1(u, k)()"),
    "@trace\ndef f0(u, k=0.5):\n    (u * p0).sum().backward()\n    return u.detach() * k",
    ("class Cube(T.autograd.Function):\n    @staticmethod\n    def forward(ctx, u):\n"
    "        ctx.save_for_backward(u)\n        return u ** 3\n    @staticmethod\n"
    "    def backward(ctx, g):\n        return g * 2 * ctx.saved_tensors[0]\n"
    "def f0(u, k=0.5):\n    return Cube.apply(u) * k"),
    ("class Scaled:\n    count = 0\n    @trace\n    def run(self, u, k=0.5):\n"
    "        self.count = self.count + 1\n        return u * k * self.count\nh1 = Scaled()\n"
    "f0 = h1.run"),
)

SHAPES = ((), (1,), (2,), (3,), (4,), (0,), (2, 3), (3, 3), (3, 4), (4, 4), (1, 4), (3, 1), (2, 4),
          (2, 3, 4), (2, 1, 3), (0, 3), (2, 0), (1, 1), (5,), (7, 4), (17, 3), (4, 3), (2, 3, 1, 2),
          (33,), (2, 3))  # fmt: skip

DTYPES = ("float32",) * 8 + ("float64",) * 2 + ("int64",) * 2
DTYPES += ("bool", "int32", "uint8", "float16")

#: how an argument made by `data` is looked at before it is passed
DISGUISES = ("{}", "{}", "{}", "{}.t()", "{}[::2]", "{}[1:]", "{}.transpose(0, -1)",
             "{}[..., ::2]", "{}.expand(2, *{}.shape)", "{}[:, :2]", "{}.unsqueeze(0)",
             "{}[None].expand(3, *{}.shape)", "{}.requires_grad_()")  # fmt: skip

#: texts for `{n}`, `{k}` and `{s}`
SMALL = ("2", "0.5", "1.5", "-1", "0", "3.0", "-0.25", "True")
COUNTS = "01233"
INDICES = ("0", "-1", "1:", ":2", "::2", "..., 0", ":, 1:", "None", "1", ":, 0", "...", "0, 1:",
           "1:1", ":, None", "..., ::2", "-2:")  # fmt: skip

#: what the parameters `s` and `k` get
FLOATS = ("0.5", "1.5", "-2.0", "0.0", "3.0", "1e-3", "-0.0", "2", "True", "0", "7.25", "-1",
          "10.0", "float('nan')", "float('inf')", "None", "c0")  # fmt: skip
VALUES = ("1", "'a'", "None", "True", "[1, 2]", "(2.0, 3)", "0", "'b'", "[1]", "2", "0.5")


#: headers of loops; `{}` is the loop's variable
LOOPS = """
for j in range({k}): | for j in range(int({i}.sum()) % 4): | for {} in {t}: | for {} in ({f}, {f}):
for j in range(int(abs({q})) % 3): | for {} in {t}.unbind(0): | for {} in {t}[:{k}]:
for {} in l0[:]:
for j, {} in enumerate({t}): | for {} in {f}.tolist(): | for j in range(len({t})):
for {} in {f}.chunk(2):
for {}, _ in zip({t}, {f}): | for {} in map(T.tanh, {f}): | for j in range({i}.max() % 4):
for {} in [{q}, {n}]:
{} = [0, 1, 1]<br>while {}.pop() and {c}: | {} = [0, 1, 1, 1]<br>while {}.pop() and {f}.norm() < 4:
{} = [0, 1]<br>while {}.pop() and {q} > {n}: | {} = [0, 1, 1]<br>while {f}.sum() < 3 and {}.pop():
"""


def templates(*tables: str) -> list[str]:
    """The templates of tables, one to an entry."""
    rows = [row for table in tables for row in table.strip().split("\n")]
    return [entry.strip().replace("<br>", "\n") for row in rows for entry in row.split(" | ")]
