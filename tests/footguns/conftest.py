"""Graphs are interpreted unless a test asks for kernels: most traps are about what is recorded."""

import pytest


@pytest.fixture(autouse=True)
def interpreted(monkeypatch, request):
    if "kernels" not in request.fixturenames:
        monkeypatch.setenv("GRAPHJIT_BACKEND", "interp")


@pytest.fixture
def kernels():
    """A test that has this fixture runs compiled kernels."""
