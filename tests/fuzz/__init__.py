"""Random programs, run eagerly and traced, which must do the same.

`python -m tests.fuzz --programs 1000 --seed 0` makes programs 0 to 999 and runs them.
"""
