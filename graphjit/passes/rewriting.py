"""A builder that simplifies each node before it makes it: rules see only simplified operands.

A rule gets a draft, a node not made yet, and returns a value that broadcasts to the one that the
draft stands for, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Location
from ..ir.graph import Builder, Node, Shape, Spec, Value, make_attrs
from ..ops import OPS, Op
from .building import constant
from .fold import filled, folded, uniform


@dataclass(frozen=True, slots=True)
class Draft:
    """A node that is about to be made, with one output of type `spec`."""

    op: Op
    inputs: tuple[Value, ...]
    attrs: dict[str, Any]
    spec: Spec

    @property
    def shape(self) -> Shape:
        return self.spec.shape


Rule = Callable[["Rewriter", Draft], Value | None]


class Rewriter:
    """Makes nodes on `builder`, each simplified by the rules for its op, in order."""

    def __init__(
        self,
        builder: Builder,
        rules: Mapping[str, Sequence[Rule]],
        loc: Location | None,
    ) -> None:
        self.builder, self.rules, self.loc = builder, rules, loc

    def __call__(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        """The value of `name(*inputs, **attrs)`, simplified."""
        op = OPS[name]
        frozen = dict(make_attrs(attrs))
        (spec,) = op.infer(*(value.spec for value in inputs), **frozen)
        draft = Draft(op, inputs, frozen, spec)
        value = self.simplified(draft)
        if value is None:
            (value,) = self.builder.add(op, inputs, frozen, self.loc)
        return value

    def simplified(self, draft: Draft) -> Value | None:
        """What a rule puts in the place of `draft`; None where no rule applies."""
        number = folded(self.builder, draft.op, draft.inputs, draft.attrs)
        if number is not None:
            return filled(self.builder, number, draft.spec, self.loc)
        for rule in self.rules[draft.op.name]:
            value = rule(self, draft)
            if value is not None:
                return self.fit(value, draft.shape)
        return None

    def number(self, value: Value) -> Any | None:
        """The number that every element of `value` is known to be."""
        return uniform(self.builder, value)

    def made_by(self, value: Value, name: str) -> Node | None:
        """The node that makes `value`, if it is one of `name`."""
        node = self.builder.producer.get(value)
        return node if node is not None and node.op.name == name else None

    def constant(self, number: Any, like: Value) -> Value:
        """A 0-d constant of the dtype of `like`."""
        return constant(self.builder, number, like.dtype, self.loc, like.spec.device)

    def fit(self, value: Value, shape: Shape) -> Value:
        """`value` broadcast to `shape`."""
        return value if value.shape == shape else self("expand", value, shape=shape)
