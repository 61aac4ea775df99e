"""Whatever interrupts a replay: it has either not begun, or it is done."""

import sys
from pathlib import Path

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim

pytestmark = pytest.mark.filterwarnings("error")
FRONTEND = str(Path(gj.__file__).parent / "frontend")


class Training:
    """A traced training step, whose state can be looked at and put back."""

    def __init__(self, dropout):
        gj.manual_seed(0)
        layers = [nn.Linear(3, 4), nn.Dropout(0.5)] if dropout else [nn.Linear(3, 4)]
        self.model = nn.Sequential(*layers, nn.Linear(4, 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        self.x = gj.ones(2, 3)
        self.step = gj.trace(self.train)
        for _ in range(6):
            self.step(self.x)

    def train(self, x):
        self.optimizer.zero_grad()
        loss = self.model(x).pow(2).sum()
        loss.backward()
        self.optimizer.step()
        return loss

    def tensors(self):
        parameters = list(self.model.parameters())
        kept = [t for p in parameters for t in self.optimizer.state[p].values()]
        return [*parameters, *kept]

    def look(self):
        grads = [p.grad for p in self.model.parameters()]
        arrays = [t.detach().numpy() for t in (*self.tensors(), *grads, gj.get_rng_state())]
        return [array.tobytes() for array in arrays]

    def put_back(self, state):
        tensors = self.tensors()
        with gj.no_grad():
            for tensor, data in zip(tensors, state, strict=False):
                array = np.frombuffer(data, tensor.detach().numpy().dtype)
                tensor.copy_(gj.from_numpy(array.reshape(tensor.shape).copy()))
            for p, data in zip(self.model.parameters(), state[len(tensors) :], strict=False):
                p.grad.copy_(gj.from_numpy(np.frombuffer(data, np.float32).reshape(p.shape).copy()))
        gj.set_rng_state(gj.from_numpy(np.frombuffer(state[-1], np.uint8).copy()))


class Interrupt:
    """Raises KeyboardInterrupt before instruction number `n` of the frontend's Python code."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, arg):
        name = frame.f_code.co_filename
        if not (name.startswith(FRONTEND) or name == "<usual call>"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("dropout", [False, True])
def test_ctrl_c_at_any_instruction(dropout):
    training = Training(dropout)
    before = training.look()
    training.step(training.x)
    after = training.look()
    assert before != after
    outcomes = {"before": 0, "after": 0, "finished": 0}
    n, replays = 0, training.step.stats()["replays"]
    while not outcomes["finished"]:
        training.put_back(before)
        assert training.look() == before
        tracing = sys.gettrace()
        sys.settrace(Interrupt(n))
        try:
            training.step(training.x)
            outcomes["finished"] += 1
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        state = training.look()
        assert state in (before, after), n
        outcomes["after" if state == after else "before"] += 1
        n += 1
    assert outcomes["before"] > 20 and outcomes["after"] > 20
    assert training.step.stats()["variants"] == 1
    assert training.step.stats()["replays"] >= replays + outcomes["after"]
