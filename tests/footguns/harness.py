"""Twin worlds, one eager and one traced, that must look the same after each call.

A trap is a function that makes a world. It returns the step to be traced, or that and `change(n)`,
which is called for the n-th time before every second call of the step.
"""

import functools
import re
import warnings

import graphjit as gj

from .portrait import differences, portrait


class Current:
    """The traced functions of the world that is being made; None while an eager one is."""

    traced = None


def traced(function):
    """`graphjit.trace` in the traced world, and nothing in the eager one."""
    if Current.traced is None:
        return function
    Current.traced.append(gj.trace(function))
    return Current.traced[-1]


class World:
    """What one call of a trap's factory has made, and all results since."""

    def __init__(self, make, is_traced):
        gj.manual_seed(0)
        self.functions = [] if is_traced else None
        Current.traced = self.functions
        made = make()
        self.step, self.change = made if isinstance(made, tuple) else (made, None)
        if is_traced and not self.functions:
            self.step = traced(self.step)
        self.outcomes = []
        self.generator = gj.get_rng_state()

    def advance(self, call, arguments, every):
        """Change something if it is time to, and call the step."""
        gj.set_rng_state(self.generator)
        if self.change is not None and call and call % every == 0:
            self.change(call // every)
        args = arguments(call)
        self.outcomes.append((args, outcome(self.step, args)))
        self.generator = gj.get_rng_state()

    def portrait(self):
        """All that Python can see."""
        return portrait(
            step=self.step, change=self.change, outcomes=self.outcomes, generator=self.generator
        )

    def count(self, what):
        """The sum of a statistic over the traced functions."""
        return sum(function.stats()[what] for function in self.functions)

    def reasons(self):
        """Why any of the traced functions has run eagerly."""
        return [f.eager_reason for f in self.functions if f.eager_reason is not None]


def outcome(step, args):
    """The result, or the class and message of the exception."""
    try:
        return step(*args)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (both worlds must raise it)
        return f"{type(error).__name__}: {error}"


def four_numbers(call):
    """The arguments of a call unless a trap has its own: a tensor, with new elements each time."""
    return (gj.arange(4.0) + call,)


def trap(
    make=None,
    *,
    calls=10,
    every=2,
    arguments=four_numbers,
    variants=None,
    replays=None,
    eager=None,
    exact=False,
    kept=10,
):
    """A test out of a factory: eager and traced look the same after each of `calls`.

    Args:
        every: how many calls there are between two changes.
        arguments: makes the arguments of a call from its number.
        variants: how many variants are to be compiled.
        replays: how many calls at least are to be replays; every second one, unless given.
        eager: what the reason says for which calls are to run eagerly: all, if `replays` is None.
        exact: floats are to agree in every bit.
        kept: how many of the last results must not change by later calls.
    """
    if make is None:
        return functools.partial(
            trap, calls=calls, every=every, arguments=arguments, variants=variants,
            replays=replays, eager=eager, exact=exact, kept=kept,
        )  # fmt: skip

    @functools.wraps(make)
    def test(*args, **kwargs):
        made = functools.partial(make, *args, **kwargs)
        eagerly, replayed = World(made, False), World(made, True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call in range(calls):
                for world in (eagerly, replayed):
                    world.advance(call, arguments, every)
                    del world.outcomes[:-kept]
                found = differences(eagerly.portrait(), replayed.portrait(), exact)
                assert not found, f"call {call}: {found}"
        _check_compiled(replayed, calls, variants, replays, eager)

    return test


def _check_compiled(world, calls, variants, replays, eager):
    """The function was replayed, or refused for the reason expected."""
    reasons = world.reasons()
    if eager is not None:
        assert reasons and re.search(eager, reasons[0]), reasons
        assert replays is not None or world.count("replays") == 0
    explained = "\n".join(
        line for f in world.functions for line in f.explain().splitlines() if line[:4] != "    "
    )
    assert eager is not None or not reasons, explained
    least = replays if replays is not None else 0 if eager is not None else calls // 2
    assert world.count("replays") >= least, explained
    assert variants is None or world.count("variants") == variants, explained
