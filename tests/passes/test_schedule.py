"""The order of kernels: updates after their readers, little memory alive."""

from graphs import graph_of, same_graph

from graphjit.passes.schedule import Memory, schedule


def becomes(before, after):
    """`before` is put in the order of `after`, which then stays."""
    result = schedule(graph_of(before))
    same_graph(result, graph_of(after))
    same_graph(schedule(result), result)


def test_a_state_is_overwritten_after_its_last_reader():
    becomes(
        """
def f(w: f32[4], g: f32[4]):
    a = sub(w, g)
    b = mul(w, w)
    return (b,), {"w": a}
""",
        """
def f(w: f32[4], g: f32[4]):
    b = mul(w, w)
    a = sub(w, g)
    return (b,), {"w": a}
""",
    )


def test_views_of_a_state_are_read_in_time_as_well():
    becomes(
        """
def f(w: f32[2, 2], g: f32[2, 2]):
    v = permute(w, dims=(1, 0))
    a = sub(w, g)
    u = reshape(a, shape=(2, 2))
    b = exp(v)
    return (b,), {"w": u}
""",
        """
def f(w: f32[2, 2], g: f32[2, 2]):
    v = permute(w, dims=(1, 0))
    b = exp(v)
    a = sub(w, g)
    u = reshape(a, shape=(2, 2))
    return (b,), {"w": u}
""",
    )


def test_a_reader_that_needs_the_new_value_stays_behind():
    text = 'def f(w: f32[4], g: f32[4]): a = sub(w, g); b = add(w, a); return (b,), {"w": a}'
    becomes(text, text)


def test_two_states_that_need_each_other():
    """Each new value reads the other's old one: one has to be copied, whatever the order."""
    graph = graph_of(
        'def f(w: f32[4], v: f32[4]): a = exp(v); b = exp(w); return (), {"w": a, "v": b}'
    )
    assert len(schedule(graph).nodes) == 2


def test_what_may_fail_runs_before_any_update():
    becomes(
        """
def f(w: f32[4], x: f32[3, 2], i: i64[1, 2]):
    a = neg(w)
    b = gather(x, i, dim=0)
    return (b,), {"w": a}
""",
        """
def f(w: f32[4], x: f32[3, 2], i: i64[1, 2]):
    b = gather(x, i, dim=0)
    a = neg(w)
    return (b,), {"w": a}
""",
    )


def test_a_node_that_frees_memory_goes_first():
    """A sum that ends the life of a large value does not wait until more have been made."""
    text = """
def f(x: f32[100]):
    a = exp(x)
    b = sin(x)
    c = cos(x)
    p = sum(a, dims=(0,))
    q = sum(b, dims=(0,))
    r = sum(c, dims=(0,))
    return add(add(p, q), r)
"""
    graph = graph_of(text)
    before = Memory(graph).cost(range(len(graph.nodes)))
    result = schedule(graph)
    after = Memory(result).cost(range(len(graph.nodes)))
    assert before[0] > 1200 and after[0] < 420
    names = [node.op.name for node in result.nodes]
    assert names[:4] == ["exp", "sum", "sin", "sum"]


def test_optimizer_steps_run_as_soon_as_their_gradient_is_there():
    becomes(
        """
def f(w: f32[100, 100], v: f32[100, 100], g: f32[100, 100]):
    a = matmul(g, g)
    b = matmul(v, g)
    c = sub(w, a)
    d = sub(v, b)
    return (), {"w": c, "v": d}
""",
        """
def f(w: f32[100, 100], v: f32[100, 100], g: f32[100, 100]):
    a = matmul(g, g)
    c = sub(w, a)
    b = matmul(v, g)
    d = sub(v, b)
    return (), {"w": c, "v": d}
""",
    )
