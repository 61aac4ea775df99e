"""Library kernels by name: the functions of the package `kernels`, compiled when first asked for.

Their key in the cache is a digest of everything that determines their code.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from . import cache
from .cache import Address
from .objects import ObjectCode

_FOLDERS = ("kernels", "language", "words")


@functools.cache
def digest() -> str:
    """A digest of the kernels' source and of the language they are in."""
    here = Path(__file__).parent
    return cache.source_digest(
        *(path for f in _FOLDERS for path in sorted((here / f).glob("*.py")))
    )


@functools.cache
def kernel(module: str, factory: str, *parameters: str | int, operands: int = 3) -> Address:
    """The address of the kernel that `kernels.<module>.<factory>(*parameters)` defines.

    It has so many int64 operands: a table and a range, unless it is a part of other kernels.
    """

    def build() -> ObjectCode:
        from .language.build import compile_kernel
        from .language.types import i64

        return compile_kernel(_find(module, factory)(*parameters), None, [i64] * operands)

    return cache.kernel_address(f"{module}.{factory} {parameters} {digest()}", build)


@functools.cache
def function(module: str, name: str, result: str | None, operands: int) -> Address:
    """The address of the function `kernels.<module>.<name>` of so many int64 operands.

    `result` names its type in the kernel language; None if it returns nothing.
    """

    def build() -> ObjectCode:
        from . import language
        from .language.build import compile_kernel

        returned = None if result is None else getattr(language, result)
        return compile_kernel(_find(module, name), returned, [language.i64] * operands)

    return cache.kernel_address(f"{module}.{name} {result} {operands} {digest()}", build)


def _find(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f".kernels.{module}", __package__), name)
