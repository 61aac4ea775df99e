"""Contracting a graph without making cycles: against a check by exhaustive search."""

from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from graphjit.passes.clusters import Clusters


def chain_of(pairs, count):
    """A graph of `count` nodes; node j reads node i for each pair (i, j)."""
    lines = []
    for j in range(count):
        operands = [f"v{i}" for i, k in pairs if k == j] or ["x"]
        expression = operands[0]
        for operand in operands[1:]:
            expression = f"{operand}, {expression}"
        lines.append(f"v{j} = concat({expression}, x, dim=0)")
    results = ", ".join(f"v{j}" for j in range(count))
    return graph_of("def f(x: f32[1]):\n    " + "\n    ".join([*lines, f"return {results}"]))


def has_cycle(edges):
    """Whether the clusters that `edges` (a dict to sets) join cannot be put in order."""
    remaining = {a: set(bs) for a, bs in edges.items()}
    while remaining:
        free = [a for a in remaining if not any(a in bs for bs in remaining.values())]
        if not free:
            return True
        for a in free:
            del remaining[a]
    return False


def edges_between(pairs, cluster_of):
    edges = {cluster: set() for cluster in cluster_of}
    for i, j in pairs:
        if cluster_of[i] != cluster_of[j]:
            edges[cluster_of[i]].add(cluster_of[j])
    return edges


PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20).map(
    lambda pairs: sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
)
JOINS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12)


@settings(max_examples=200, deadline=None, database=None)
@given(PAIRS, JOINS)
def test_merging_makes_a_cycle_exactly_when_clusters_are_separated(pairs, joins):
    clusters = Clusters(chain_of(pairs, 12))
    for i, j in joins:
        a, b = clusters.cluster_of[i], clusters.cluster_of[j]
        if a == b:
            continue
        joined = [a if c == b else c for c in clusters.cluster_of]
        separated = clusters.separated(a, b)
        assert separated == has_cycle(edges_between(pairs, joined))
        if not separated:
            clusters.merge(a, b)
            place = {cluster: n for n, cluster in enumerate(clusters.order())}
            for x, ys in edges_between(pairs, clusters.cluster_of).items():
                assert all(place[x] < place[y] for y in ys)
