"""Handwritten digits, learned twice from the same weights: eagerly, then with the step traced.

Prints what tracing costs and what it gains, and draws both as a picture. `--data FILE.npz` takes
your own images (array `images`: N x height x width, any scale) and classes (array `labels`: N).
"""

import argparse
import sys
import zlib
from pathlib import Path
from statistics import median
from time import perf_counter
from zipfile import BadZipFile, is_zipfile

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import graphjit
from graphjit import nn, optim

EPOCHS = 20
BATCH = 16
TEST_SHARE = 0.2


class Network(nn.Module):
    """Two convolutions, the second of stride 2, and a linear layer.

    All of it is smooth (tanh, no ReLU, no max pooling), so that a rounding error stays one, and
    two runs can be compared step by step over the whole training.
    """

    def __init__(self, height, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 48, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(48, 96, kernel_size=3, stride=2, padding=1)
        self.output = nn.Linear(96 * ((height + 1) // 2) * ((width + 1) // 2), classes)

    def forward(self, x):
        x = graphjit.tanh(self.conv1(x))
        x = graphjit.tanh(self.conv2(x))
        return self.output(graphjit.flatten(x, 1))


def train(images, labels, classes, traced):
    """Train on 80 %, test on the rest. Returns each step's loss and seconds, and the accuracy."""
    graphjit.manual_seed(0)
    shuffle = np.random.default_rng(0)
    order = shuffle.permutation(len(images))
    test, rest = np.split(order, [round(TEST_SHARE * len(images))])

    model = Network(*images.shape[2:], classes)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if traced:
        step = graphjit.trace(step)

    losses, seconds = [], []
    batch = min(BATCH, len(rest))
    with tqdm(range(EPOCHS), desc="traced" if traced else "eager ") as epochs:
        for _ in epochs:
            # What does not fill a batch is left out; another shuffle leaves out another part.
            batches = shuffle.permutation(rest)[: len(rest) // batch * batch].reshape(-1, batch)
            for chosen in batches:
                x = graphjit.from_numpy(images[chosen])
                y = graphjit.from_numpy(labels[chosen])
                began = perf_counter()
                losses.append(step(x, y).item())
                seconds.append(perf_counter() - began)
            accuracy = share_correct(model, images[test], labels[test])
            loss = np.mean(losses[-len(batches) :])
            epochs.set_postfix(loss=f"{loss:.4f}", accuracy=f"{accuracy:.1%}")
    return np.array(losses), np.array(seconds), accuracy


def share_correct(model, images, labels):
    """The share of images whose highest score is at the right class."""
    with graphjit.no_grad():
        scores = model(graphjit.from_numpy(images))
    return np.mean(scores.numpy().argmax(1) == labels)


def break_even(eager, traced):
    """The number of steps after which tracing has paid for itself; None if it has not."""
    behind = np.flatnonzero(np.cumsum(traced) >= np.cumsum(eager))
    steps = behind[-1] + 2 if len(behind) else 1
    return steps if steps <= len(eager) else None


def draw(eager, traced, path):
    """Cumulative time against steps: the price of the first call, and where the lines cross."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    steps = np.arange(1, len(eager) + 1)
    axes.plot(steps, np.cumsum(eager), label=f"eager: {1e3 * median(eager):.2f} ms a step")
    axes.plot(steps, np.cumsum(traced), label=f"traced: {1e3 * median(traced):.2f} ms a step")
    crossing = break_even(eager, traced)
    if crossing:
        label = f"paid for after {crossing} steps"
        axes.axvline(crossing, color="grey", linestyle=":", label=label)
    axes.set(xlabel="training steps", ylabel="seconds since the start", xlim=0, ylim=0)
    axes.legend()
    figure.savefig(path, dpi=120)


def report(eager, traced):
    """Print both runs side by side; each is (losses, seconds, accuracy)."""
    (losses, seconds, accuracy), (traced_losses, traced_seconds, traced_accuracy) = eager, traced
    difference = np.max(np.abs(traced_losses - losses) / losses)
    crossing = break_even(seconds, traced_seconds)
    print(f"\n{'':24}{'eager':>12}{'traced':>12}")
    for title, scale, unit, row in (
        ("first call", 1e3, "ms", (seconds[0], traced_seconds[0])),
        ("time per step (median)", 1e3, "ms", (median(seconds), median(traced_seconds))),
        (f"all {len(seconds)} steps", 1, "s ", (seconds.sum(), traced_seconds.sum())),
        ("test accuracy", 100, "% ", (accuracy, traced_accuracy)),
    ):
        print(f"{title:24}" + "".join(f"{scale * value:9.2f} {unit}" for value in row))
    paid = f"paid for itself after {crossing}" if crossing else f"not paid in {len(seconds)}"
    print(f"Tracing has {paid} steps.")
    print(f"Largest relative difference between the loss curves: {difference:.1e}")


def load(path):
    """Images (N x 1 x height x width, 0 to 1), labels and the number of classes.

    ValueError where the file does not hold them.
    """
    if path is None:
        images, labels = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8)
    else:
        images, labels = read(path)
    check(images, labels)
    images = images.astype(np.float32)[:, None]
    return images / max(images.max(), 1e-6), labels.astype(np.int64), int(labels.max()) + 1


def read(path):
    """The arrays `images` and `labels` of an .npz file; ValueError where it has none."""
    if not path.is_file():
        raise ValueError("no such file")
    if not is_zipfile(path):
        raise ValueError("not an .npz file")
    try:
        with np.load(path) as arrays:
            return arrays["images"], arrays["labels"]
    except KeyError:
        raise ValueError("must hold the arrays 'images' and 'labels'") from None
    except (OSError, BadZipFile, zlib.error) as error:
        raise ValueError(f"cannot be read: {error}") from None


def check(images, labels):
    """ValueError, in one line, unless a network can be trained on these arrays."""
    if images.ndim != 3 or images.dtype.kind not in "buif":
        raise ValueError(f"'images' must be N x height x width numbers, got {describe(images)}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "ui":
        raise ValueError(f"'labels' must be {len(images)} integers, got {describe(labels)}")
    if len(images) < 10 or 0 in images.shape:
        raise ValueError(f"'images' must hold 10 images or more, got {describe(images)}")
    if not np.isfinite(images).all():
        raise ValueError("'images' must be finite")
    if labels.min() < 0 or labels.max() >= len(labels):
        found = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"'labels' must count classes from 0, got {found}")


def describe(array):
    """`float64 of shape (100, 8, 8)`"""
    return f"{array.dtype} of shape {array.shape}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="FILE.npz", help="your own images and labels")
    parser.add_argument("--figure", type=Path, default="tradeoff.png", help="default: %(default)s")
    options = parser.parse_args()
    try:
        images, labels, classes = load(options.data)
    except ValueError as error:
        print(f"{options.data}: {error}", file=sys.stderr)
        sys.exit(2)
    eager = train(images, labels, classes, traced=False)
    traced = train(images, labels, classes, traced=True)
    report(eager, traced)
    draw(eager[1], traced[1], options.figure)
    print(f"{options.figure} shows the trade-off.")


if __name__ == "__main__":
    main()
