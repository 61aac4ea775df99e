"""What every test runs under.

No silent fall-back, every graph verified, and a kernel cache of this run's own.
"""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the cache of the run that started them
    os.environ["GRAPHJIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="graphjit-test-cache-")
os.environ["GRAPHJIT_STRICT"] = "1"
os.environ["GRAPHJIT_CHECK"] = "1"
# One worker runs on each core: OpenBLAS threads that wait for one another would stall them all.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # for the programs that tests start

# Random tests try the same examples at every run; `--hypothesis-profile=default` tries new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_unconfigure(config):
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["GRAPHJIT_CACHE_DIR"], ignore_errors=True)
