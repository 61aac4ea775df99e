import numpy as np
import pytest

from graphjit import dtypes
from graphjit.runtime.checks import require
from graphjit.runtime.instruction import External, Layout
from graphjit.runtime.program import Program


@pytest.mark.parametrize("holds", [True, False])
def test_a_program_stops_after_a_condition_that_is_false(holds):
    condition = Layout.contiguous(External(0), (), dtypes.bool_)
    program = Program([require(condition), require(condition)], arrays=1)
    assert program(np.array(holds)) == (0 if holds else 1)
