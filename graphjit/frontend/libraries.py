"""Which code is a library's, what of it gives another value at each call, or looks at types.

The code of libraries is not followed: what it reads is taken for constant, but for what is named
here. Installed packages that are not named here are followed like the user's own.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ..errors import PACKAGE

_FILES = frozenset(
    "exists lexists isfile isdir islink ismount getmtime getctime getatime getsize samefile "
    "abspath realpath relpath expanduser".split()
)
_PATHS = frozenset(
    "exists is_file is_dir is_symlink stat lstat read_text read_bytes write_text write_bytes open "
    "iterdir glob rglob walk cwd home resolve absolute expanduser touch unlink mkdir".split()
)
_PROCESS = frozenset(
    "environ getenv urandom listdir scandir stat lstat access getcwd getloadavg times system "
    "remove walk".split()
)
#: modules and the names in them that give other values at each call; None for all names
IMPURE: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(
        "random secrets time datetime uuid socket subprocess urllib http shutil glob tempfile "
        "sqlite3 requests select".split()
    ),
    "os": _PROCESS | _FILES,
    **dict.fromkeys(("posix", "nt"), _PROCESS),
    **dict.fromkeys(("posixpath", "ntpath", "genericpath"), _FILES),
    "pathlib": _PATHS,
    "threading": frozenset("current_thread get_ident active_count enumerate".split()),
    "numpy": frozenset({"random"}),
    "importlib": frozenset({"import_module", "reload"}),
}

#: packages that know nothing of graphjit's tensors, or only look on
_FOREIGN = frozenset(
    "numpy scipy numba llvmlite cupy ml_dtypes onnx onnxruntime torch torchvision jax jaxlib optax "
    "tensorflow keras pandas pyarrow polars sklearn skimage cv2 PIL matplotlib seaborn plotly tqdm "
    "rich tensorboard tensorboardX wandb mlflow IPython ipykernel traitlets pytest pluggy _pytest "
    "hypothesis xdist execnet coverage attr attrs pydantic pydantic_core yaml requests urllib3 "
    "packaging setuptools pip psutil joblib cloudpickle dill regex tokenizers sentencepiece "
    "typing_extensions filelock fsspec h5py zarr".split()
)
_STDLIB = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")
)


@functools.lru_cache(maxsize=4096)
def is_library(module: Any) -> bool:
    """Whether a module belongs to graphjit, an installed library, or Python itself.

    `module` is its name: what `__module__` of a class or function gives, which may be anything.
    """
    if not isinstance(module, str):
        return False
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    if file.startswith(PACKAGE) or top in _FOREIGN:
        return True
    if top == "__main__" or top not in sys.stdlib_module_names:
        return False
    return not file or os.path.realpath(file).startswith(_STDLIB)


def is_impure(module: str, names: set[str]) -> bool:
    """Whether code that names these may get other values from `module` at each call."""
    top = module if module in IMPURE else module.partition(".")[0]
    impure = IMPURE.get(top, frozenset())
    return impure is None or not impure.isdisjoint(names)


#: modules of Python's own that can tell a `SymNumber` from a number
TELLING = frozenset(
    "ctypes datetime decimal fractions json marshal pickle statistics struct".split()
)
#: functions that name one of these, or lead to such a module, get plain numbers. Methods of numbers
#: are among them, since they could be looked up on the types.
TELL_APART = frozenset({
    *TELLING, *"type dumps Decimal Fraction timedelta ldexp".split(), *vars(int), *vars(float)
}).difference(vars(object), "real imag conjugate numerator denominator".split())  # fmt: skip


def telling_module(value: Any) -> frozenset[str]:
    """The one of those modules that `value` is, or that it is from if it is a function or class."""
    if not isinstance(value, (ModuleType, FunctionType, BuiltinFunctionType, type)):
        return frozenset()
    home = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return TELLING & {str(home).partition(".")[0].lstrip("_")}


def home(function: Any) -> str:
    """The module that a built-in function, or the class of a built-in method, is from."""
    owner = function.__self__
    kind = owner if isinstance(owner, type) else type(owner)
    return str(function.__module__ or kind.__module__)
