"""`Methods`: everything PyTorch's tensors can do, family by family."""

from __future__ import annotations

from .base import TensorBase
from .convert import ConvertMethods
from .methods_inplace import InplaceMethods
from .methods_math import MathMethods
from .methods_new import NewMethods
from .methods_operators import OperatorMethods
from .methods_python import PythonMethods
from .methods_random import RandomMethods
from .methods_search import SearchMethods
from .methods_shape import ShapeMethods


class Methods(
    OperatorMethods,
    MathMethods,
    ShapeMethods,
    SearchMethods,
    ConvertMethods,
    InplaceMethods,
    NewMethods,
    RandomMethods,
    PythonMethods,
    TensorBase,
):
    """The methods of `Tensor`."""
