# make demo    train on handwritten digits, eagerly and traced (about a minute)
# make test    the whole test suite
# make bench   the ten workloads against torch, torch.compile and jax
# make lint    ruff, mypy and the import rules

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
RESULTS = benchmarks/results

.PHONY: demo test bench lint

demo: $(VENV)/.demo
	$(RUN) examples/digits.py

test: $(VENV)/.test
	$(RUN) -m pytest -q -n auto $(PYTEST_ARGS)

bench: $(VENV)/.bench
	$(RUN) -m benchmarks.run --json $(RESULTS).json --markdown $(RESULTS).md $(BENCH_ARGS)

lint: $(VENV)/.lint
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# One stamp for each set of extras: a second run installs nothing until pyproject.toml changes.
$(VENV)/.%: pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --editable '.[$*]'
	touch $@

$(RUN):
	$(PYTHON) -m venv $(VENV)
