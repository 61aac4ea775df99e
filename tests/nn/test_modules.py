"""Every module against PyTorch's: text, output, and gradients, from the same weights."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest

import graphjit
from graphjit import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


@dataclass
class Case:
    """`make(nn)` builds the module; `shapes` are its inputs', or arrays in their place."""

    name: str
    make: object
    shapes: tuple
    attributes: dict = field(default_factory=dict)


LABELS = np.array([1, 0, 4])
POSITIVE = (np.arange(12).reshape(3, 4) % 5) / 5 + 0.1
SIGNS = np.array([1.0, -1.0, 1.0], np.float32)


def _losses():
    pairs = ((3, 4), (3, 4))
    yield Case("L1Loss", lambda nn: nn.L1Loss(), pairs)
    yield Case("MSELoss", lambda nn: nn.MSELoss(), pairs)
    yield Case("MSELoss sum", lambda nn: nn.MSELoss(reduction="sum"), pairs)
    yield Case("MSELoss none", lambda nn: nn.MSELoss(reduction="none"), pairs)
    yield Case("SmoothL1Loss", lambda nn: nn.SmoothL1Loss(beta=0.5), pairs)
    yield Case("HuberLoss", lambda nn: nn.HuberLoss(delta=0.7), pairs)
    for reduction in ("mean", "sum", "none"):
        yield Case(f"CrossEntropyLoss {reduction}",
                   lambda nn, r=reduction: nn.CrossEntropyLoss(reduction=r), ((3, 5), LABELS))
    yield Case("CrossEntropyLoss smoothed",
               lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=0),
               ((3, 5), LABELS))
    yield Case("CrossEntropyLoss probabilities",
               lambda nn: nn.CrossEntropyLoss(label_smoothing=0.2), ((3, 4), POSITIVE))
    yield Case("CrossEntropyLoss images", lambda nn: nn.CrossEntropyLoss(),
               ((2, 3, 2, 2), np.arange(8).reshape(2, 2, 2) % 3))
    yield Case("NLLLoss", lambda nn: nn.NLLLoss(), ((3, 5), LABELS))
    yield Case("BCELoss", lambda nn: nn.BCELoss(), (POSITIVE, POSITIVE[::-1].copy()))
    yield Case("BCEWithLogitsLoss", lambda nn: nn.BCEWithLogitsLoss(), ((3, 4), POSITIVE))
    yield Case("KLDivLoss", lambda nn: nn.KLDivLoss(reduction="batchmean"), ((3, 4), POSITIVE))
    yield Case("KLDivLoss log", lambda nn: nn.KLDivLoss(reduction="sum", log_target=True), pairs)
    yield Case("PoissonNLLLoss", lambda nn: nn.PoissonNLLLoss(full=True), ((3, 4), 3 * POSITIVE))
    yield Case("GaussianNLLLoss", lambda nn: nn.GaussianNLLLoss(full=True), (*pairs, POSITIVE))
    yield Case("MarginRankingLoss", lambda nn: nn.MarginRankingLoss(0.1), ((3,), (3,), SIGNS))
    yield Case("HingeEmbeddingLoss", lambda nn: nn.HingeEmbeddingLoss(), ((3,), SIGNS))
    yield Case("SoftMarginLoss", lambda nn: nn.SoftMarginLoss(), ((3,), SIGNS))
    yield Case("CosineEmbeddingLoss", lambda nn: nn.CosineEmbeddingLoss(0.1), (*pairs, SIGNS))
    yield Case("TripletMarginLoss", lambda nn: nn.TripletMarginLoss(swap=True), (*pairs, (3, 4)))


def _activations():
    plain = (
        "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish "
        "PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink"
    )
    for name in plain.split():
        yield Case(name, lambda nn, name=name: getattr(nn, name)(), ((3, 4, 6),))
    yield Case("GELU tanh", lambda nn: nn.GELU("tanh"), ((3, 4),))
    yield Case("CELU alpha", lambda nn: nn.CELU(0.6), ((3, 4),))
    yield Case("Threshold", lambda nn: nn.Threshold(0.1, 20), ((3, 4),))
    yield Case("Hardtanh bounds", lambda nn: nn.Hardtanh(-0.2, 0.4), ((3, 4),))
    yield Case("PReLU channels", lambda nn: nn.PReLU(4, 0.1), ((3, 4, 5),))
    yield Case("RReLU", lambda nn: nn.RReLU().eval(), ((3, 4),))
    yield Case("ReLU inplace", lambda nn: nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)),
               ((3, 4),), {"leaf": False})
    for name in ("Softmax", "Softmin", "LogSoftmax"):
        yield Case(name, lambda nn, name=name: getattr(nn, name)(dim=1), ((3, 4, 5),))
    yield Case("Softmax2d", lambda nn: nn.Softmax2d(), ((2, 3, 2, 2),))


def _layers():
    yield Case("Linear", lambda nn: nn.Linear(4, 3), ((2, 5, 4),))
    yield Case("Linear vector", lambda nn: nn.Linear(4, 3), ((4,),))
    yield Case("Linear no bias", lambda nn: nn.Linear(4, 3, bias=False), ((2, 4),))
    yield Case("Bilinear", lambda nn: nn.Bilinear(4, 5, 2), ((3, 4), (3, 5)))
    yield Case("Identity", lambda nn: nn.Identity(), ((3, 4),))
    yield Case("Flatten", lambda nn: nn.Flatten(), ((2, 3, 4),))
    yield Case("Unflatten", lambda nn: nn.Unflatten(1, (2, 3)), ((2, 6),))
    yield Case("Embedding", lambda nn: nn.Embedding(5, 3, padding_idx=0), (LABELS,))
    yield Case("LayerNorm", lambda nn: nn.LayerNorm((3, 4)), ((2, 3, 4),))
    yield Case("LayerNorm plain", lambda nn: nn.LayerNorm(4, elementwise_affine=False), ((2, 4),))
    yield Case("LayerNorm no bias", lambda nn: nn.LayerNorm(4, bias=False), ((2, 4),))
    yield Case("RMSNorm", lambda nn: nn.RMSNorm(4), ((2, 3, 4),))
    yield Case("GroupNorm", lambda nn: nn.GroupNorm(2, 4), ((2, 4, 3),))
    yield Case("LocalResponseNorm", lambda nn: nn.LocalResponseNorm(3), ((2, 5, 4),))
    yield Case("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(3, affine=True), ((2, 3, 4, 4),))
    for dims, shape in ((1, (5, 3)), (1, (2, 3, 4)), (2, (2, 3, 4, 4)), (3, (2, 3, 2, 2, 2))):
        name = f"BatchNorm{dims}d"
        make = lambda nn, name=name: getattr(nn, name)(3)
        yield Case(f"{name} {len(shape)}", make, (shape,))
        yield Case(f"{name} {len(shape)} eval", lambda nn, make=make: make(nn).eval(), (shape,))
    yield Case("BatchNorm mean of all", lambda nn: nn.BatchNorm1d(3, momentum=None), ((5, 3),))
    yield Case("Dropout eval", lambda nn: nn.Dropout(0.3).eval(), ((3, 4),))
    yield Case("CosineSimilarity", lambda nn: nn.CosineSimilarity(), ((3, 4), (3, 4)))
    yield Case("PairwiseDistance", lambda nn: nn.PairwiseDistance(), ((3, 4), (3, 4)))
    yield Case("PixelShuffle", lambda nn: nn.PixelShuffle(2), ((2, 8, 3, 3),))
    yield Case("PixelUnshuffle", lambda nn: nn.PixelUnshuffle(2), ((2, 2, 4, 6),))


def _images():
    yield Case("Conv2d", lambda nn: nn.Conv2d(2, 4, 3), ((2, 2, 6, 5),))
    yield Case("Conv2d options", lambda nn: nn.Conv2d(4, 6, (3, 2), 2, (1, 2), 2, 2, bias=False),
               ((2, 4, 9, 8),))
    yield Case("Conv2d same", lambda nn: nn.Conv2d(2, 3, (3, 4), padding="same"), ((2, 2, 5, 6),))
    yield Case("Conv2d valid", lambda nn: nn.Conv2d(2, 3, 2, padding="valid"), ((2, 2, 5, 6),))
    yield Case("Conv2d no batch", lambda nn: nn.Conv2d(2, 3, 2), ((2, 5, 6),))
    for mode in ("reflect", "replicate", "circular"):
        yield Case(f"Conv2d {mode}",
                   lambda nn, mode=mode: nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode),
                   ((2, 2, 5, 6),))
    yield Case("Conv1d", lambda nn: nn.Conv1d(2, 3, 3, stride=2, padding=1), ((2, 2, 9),))
    yield Case("Conv1d same", lambda nn: nn.Conv1d(2, 3, 4, padding="same"), ((2, 2, 9),))
    yield Case("Conv3d", lambda nn: nn.Conv3d(2, 3, 2, padding=1), ((2, 2, 4, 4, 3),))
    yield Case("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(2, 3, 3, stride=2), ((2, 2, 5),))
    yield Case("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(2, 4, 3, 2, 1, 1, groups=2),
               ((2, 2, 4, 4),))
    yield Case("MaxPool1d", lambda nn: nn.MaxPool1d(2), ((2, 3, 8),))
    yield Case("MaxPool2d", lambda nn: nn.MaxPool2d(2), ((2, 3, 6, 6),))
    yield Case("MaxPool2d options", lambda nn: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
               ((2, 3, 6, 7),))
    yield Case("AvgPool1d", lambda nn: nn.AvgPool1d(3, 2), ((2, 3, 8),))
    yield Case("AvgPool2d", lambda nn: nn.AvgPool2d(2, ceil_mode=True), ((2, 3, 5, 5),))
    yield Case("AvgPool2d options",
               lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False), ((2, 3, 6, 6),))
    yield Case("AdaptiveAvgPool1d", lambda nn: nn.AdaptiveAvgPool1d(3), ((2, 3, 8),))
    yield Case("AdaptiveAvgPool2d", lambda nn: nn.AdaptiveAvgPool2d((1, 1)), ((2, 3, 6, 6),))
    yield Case("AdaptiveAvgPool2d odd", lambda nn: nn.AdaptiveAvgPool2d((3, 5)), ((2, 3, 8, 8),))
    yield Case("AdaptiveAvgPool2d None", lambda nn: nn.AdaptiveAvgPool2d((2, None)),
               ((2, 3, 6, 5),))
    yield Case("AdaptiveMaxPool2d", lambda nn: nn.AdaptiveMaxPool2d((3, None)), ((2, 3, 8, 6),))
    for n, shape in ((1, (2, 3, 5)), (2, (2, 3, 5, 6)), (3, (2, 2, 3, 4, 5))):
        for kind in ("Reflection", "Replication", "Circular", "Zero"):
            name = f"{kind}Pad{n}d"
            yield Case(name, lambda nn, name=name: getattr(nn, name)(1), (shape,))
        yield Case(f"ConstantPad{n}d",
                   lambda nn, n=n: getattr(nn, f"ConstantPad{n}d")(1, 3.5), (shape,))


def _recurrent():
    yield Case("RNNCell", lambda nn: nn.RNNCell(4, 3), ((2, 4), (2, 3)))
    yield Case("RNNCell relu", lambda nn: nn.RNNCell(4, 3, nonlinearity="relu"), ((2, 4),))
    yield Case("GRUCell", lambda nn: nn.GRUCell(4, 3), ((2, 4), (2, 3)))
    yield Case("GRUCell no bias", lambda nn: nn.GRUCell(4, 3, bias=False), ((4,),))
    yield Case("LSTMCell", lambda nn: nn.LSTMCell(4, 3), ((2, 4),))
    yield Case("LSTMCell no bias", lambda nn: nn.LSTMCell(4, 3, bias=False), ((4,),))


CASES = [*_losses(), *_activations(), *_layers(), *_images(), *_recurrent()]


def _arrays(case):
    rng = np.random.default_rng(0)
    for shape in case.shapes:
        if not isinstance(shape, np.ndarray):
            shape = rng.standard_normal(shape)
        yield shape.astype(np.float32) if shape.dtype.kind == "f" else shape


def _run(library, module, arrays, given, leaf):
    """Outputs, gradients of inputs and of parameters, and buffers, all as arrays."""
    inputs = [library.from_numpy(a.copy()) for a in arrays]
    for k, tensor in enumerate(inputs):
        # PyTorch has no gradients for some targets, which are given as arrays
        tensor.requires_grad_(tensor.is_floating_point() and (k == 0 or k not in given))
    out = module(*(t if leaf else t * 1 for t in inputs))
    outputs = out if isinstance(out, tuple) else (out,)
    total = 0
    for k, tensor in enumerate(outputs):
        weights = np.cos(np.arange(tensor.numel()) * 0.5 + k).astype(np.float32)
        total = total + (tensor * library.from_numpy(weights.reshape(tuple(tensor.shape)))).sum()
    if total.requires_grad:
        total.backward()
    found = {f"out{k}": t.detach().numpy() for k, t in enumerate(outputs)}
    named = [(f"input{k}", t) for k, t in enumerate(inputs)] + list(module.named_parameters())
    found |= {name: t.grad.numpy() for name, t in named if t.grad is not None}
    return found | {name: t.numpy() for name, t in module.named_buffers()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_module(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = case.make(nn), case.make(torch.nn)
        assert repr(mine) == repr(theirs)
        state = {k: graphjit.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
        assert list(mine.state_dict()) == list(state)
        mine.load_state_dict(state)
        arrays = list(_arrays(case))
        given = [k for k, shape in enumerate(case.shapes) if isinstance(shape, np.ndarray)]
        leaf = case.attributes.get("leaf", True)
        expected = _run(torch, theirs, arrays, given, leaf)
        found = _run(graphjit, mine, arrays, given, leaf)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-6, err_msg=name)
