"""Prints the graph of a small training step after each pass, into `architecture.md`.

`python docs/example.py` rewrites the page, `--check` only tells whether it is up to date.
"""

import os
import sys
from pathlib import Path

os.environ["GRAPHJIT_BACKEND"] = "interp"

import graphjit
from graphjit import nn, optim
from graphjit.ir.printer import to_text

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- example -->", "<!-- /example -->"


def record():
    """One traced step; its stages."""
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @graphjit.trace
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(graphjit.tanh(model(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    step(graphjit.ones(4, 3), graphjit.zeros(4, 2))
    stages = []
    graphjit.passes.pipeline.run(step.attempts[-1].variant.recording.graph, stages)
    return stages


def example():
    """The stages as Markdown."""
    parts, before = [], ""
    for stage in record():
        text = to_text(stage.graph).strip()
        if text != before:
            parts.append(f"After `{stage.name}`:\n\n```python\n{text}\n```\n")
        before = text
    return "\n".join(parts)


def page():
    """The page with the example of today."""
    head, rest = PAGE.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{example()}{END}{tail}"


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit(0 if text == PAGE.read_text() else "docs/architecture.md is out of date")
    PAGE.write_text(text)
