"""Where Python gets to see element values: a recording cannot go on past such a place."""

from __future__ import annotations

from .mode import MODE


def observe(what: str) -> None:
    """Tell the recorder, if one is on, that `what` lets Python depend on element values."""
    recorder = MODE.recorder
    if recorder is not None:
        recorder.refuse(f"{what} shows the values of a tensor to Python")
