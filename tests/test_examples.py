"""examples/digits.py: the demo itself, a user's own data, and data that will not do."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "digits.py"


def run(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--figure", tmp_path / "tradeoff.png", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )


def number_after(title, text):
    return [float(n) for n in re.findall(r"[\d.]+(?:e-?\d+)?", text.split(title)[1].split("\n")[0])]


@pytest.mark.slow
def test_demo_learns_the_digits_and_draws_the_trade_off(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert min(number_after("test accuracy", done.stdout)) >= 97
    assert number_after("between the loss curves:", done.stdout)[0] <= 1e-4
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert "traced: 100%" in done.stderr and "loss=" in done.stderr and "accuracy=" in done.stderr


def test_trains_on_a_users_own_images(tmp_path):
    """Sizes that are odd, fewer images than a batch, and another scale of grey."""
    rng = np.random.default_rng(0)
    labels = np.arange(24, dtype=np.uint8) % 3
    images = rng.integers(0, 90, (24, 5, 7)) + 80 * labels[:, None, None]
    np.savez(tmp_path / "own.npz", images=images.astype(np.uint8), labels=labels)
    done = run(tmp_path, "--data", tmp_path / "own.npz")
    assert done.returncode == 0, done.stderr
    assert number_after("between the loss curves:", done.stdout)[0] <= 1e-4


IMAGES, LABELS = np.zeros((20, 8, 8)), np.arange(20) % 10
BAD_ARRAYS = {
    "no labels": ({"images": IMAGES}, "'images' and 'labels'"),
    "flat images": ({"images": IMAGES.reshape(20, 64), "labels": LABELS}, "N x height x width"),
    "text images": ({"images": IMAGES.astype(str), "labels": LABELS}, "N x height x width"),
    "fewer labels": ({"images": IMAGES, "labels": LABELS[:5]}, "20 integers"),
    "float labels": ({"images": IMAGES, "labels": LABELS / 2}, "20 integers"),
    "negative labels": ({"images": IMAGES, "labels": LABELS - 1}, "from 0"),
    "gaps in labels": ({"images": IMAGES, "labels": LABELS * 10**8}, "from 0"),
    "too few images": ({"images": IMAGES[:3], "labels": LABELS[:3]}, "10 images"),
    "empty images": ({"images": IMAGES[:, :0], "labels": LABELS}, "10 images"),
    "not finite": ({"images": IMAGES + np.nan, "labels": LABELS}, "finite"),
    "objects": ({"images": IMAGES.astype(object), "labels": LABELS}, "Object arrays"),
}


@pytest.fixture
def refusal(monkeypatch, capsys):
    """Run the script in this process on a file that it must refuse; gives what it says."""
    spec = importlib.util.spec_from_file_location("digits", SCRIPT)
    digits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(digits)

    def run(path):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--data", str(path)])
        with pytest.raises(SystemExit) as stop:
            digits.main()
        message = capsys.readouterr().err
        assert stop.value.code == 2
        assert message.startswith(f"{path}: ") and message.count("\n") == 1
        return message

    return run


@pytest.mark.parametrize("arrays, message", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_will_not_do_get_one_clear_line(tmp_path, refusal, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    assert message in refusal(tmp_path / "bad.npz")


BAD_FILES = {
    "missing": (None, "no such file"),
    "empty": (b"", "not an .npz file"),
    "text": (b"images", "not an .npz file"),
}


@pytest.mark.parametrize("content, message", BAD_FILES.values(), ids=BAD_FILES)
def test_file_that_cannot_be_read_gets_one_clear_line(tmp_path, refusal, content, message):
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    assert message in refusal(path)


def test_damaged_file_gets_one_clear_line(tmp_path, refusal):
    """The directory at the end of the file is whole, what it points to is not."""
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    assert "cannot be read" in refusal(path)
