"""PyTorch, eager and compiled: batches sliced beforehand, no DataLoader, its fastest implementation of the rule."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.contestant import Absent, fastest
from benchmarks.workloads import Case, Rule


def import_torch(cores: int) -> Any:
    try:
        import torch
    except ImportError as error:
        raise Absent(str(error)) from error
    torch.set_num_threads(cores)
    return torch


def cost(torch: Any, output: str) -> Callable[[Any, Any], Any]:
    """The loss from the last z: the sum over the outputs, the mean over the rows."""
    F = torch.nn.functional
    return {
        "softmax": F.cross_entropy,
        "sigmoid": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z),
        "identity": lambda z, y: 0.5 * F.mse_loss(z, y, reduction="sum") / len(z),
    }[output]


def batches(torch: Any, case: Case) -> list[tuple[Any, Any]]:
    X, Y = (torch.from_numpy(array.copy()) for array in case.data)
    if case.workload.output == "softmax":
        Y = Y.argmax(dim=1)
    return list(zip(X.split(case.workload.batch), Y.split(case.workload.batch), strict=True))


class Torch:
    """The loop of PyTorch's own tutorials."""

    name, kind, checked = "PyTorch", "peer", True

    def prepare(self, case: Case, cores: int) -> None:
        self.torch = torch = import_torch(cores)
        self.case, self.batches, self.cost = case, batches(torch, case), cost(torch, case.workload.output)
        hidden = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[case.workload.hidden]
        sizes, layers = case.workload.sizes, []
        for n_in, n_out in pairwise(sizes):
            layers += [torch.nn.Linear(n_in, n_out, dtype=getattr(torch, case.dtype)), hidden()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.how: dict[str, bool] = {}
        self.how = fastest(({"foreach": False}, {"foreach": True}, {"fused": True}), self.once)
        self.way = ", ".join(f"{name}={value}" for name, value in self.how.items())

    def once(self, how: dict[str, bool]) -> None:
        self.how = how
        self.reset()
        self.run(1)

    def linears(self) -> list[Any]:
        return [layer for layer in self.model if isinstance(layer, self.torch.nn.Linear)]

    def reset(self) -> None:
        with self.torch.no_grad():
            for layer, (W, b) in zip(self.linears(), self.case.pairs(self.case.start), strict=True):
                layer.weight.copy_(self.torch.from_numpy(W.T.copy()))
                layer.bias.copy_(self.torch.from_numpy(b))
        self.optimizer = self.rule(self.case.workload.rule)

    def rule(self, rule: Rule) -> Any:
        parameters, optim = self.model.parameters(), self.torch.optim
        if rule.name == "sgd":
            return optim.SGD(parameters, rule.rate, momentum=rule.momentum, **self.how)
        return optim.Adam(parameters, rule.rate, (rule.beta1, rule.beta2), rule.eps, **self.how)

    def run(self, epochs: int) -> float:
        model, cost, optimizer = self.model, self.cost, self.optimizer
        for _ in range(epochs):
            total = self.torch.zeros(())
            for x, y in self.batches:
                loss = cost(model(x), y)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach()
        return float(total) / len(self.batches)

    def theta(self) -> np.ndarray:
        return self.case.flat([(p.weight.detach().numpy().T, p.bias.detach().numpy()) for p in self.linears()])


class TorchCompiled:
    """`torch.compile` of the whole step, gradient and rule included, on tensors that it changes in place."""

    name, kind, checked = "PyTorch, compiled", "peer", True

    def prepare(self, case: Case, cores: int) -> None:
        self.torch = torch = import_torch(cores)
        self.case, self.batches = case, batches(torch, case)
        self.pairs = [(torch.from_numpy(W), torch.from_numpy(b)) for W, b in case.pairs(case.start)]
        flat = [array for pair in self.pairs for array in pair]
        self.memory = [[torch.zeros_like(p) for p in flat] for _ in range(2)]
        self.time = torch.zeros((), dtype=flat[0].dtype)
        self.step = torch.compile(self.make_step(flat), fullgraph=True)
        try:
            self.run(1)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise Absent(f"torch.compile cannot compile here: {str(error).splitlines()[0]}") from error

    def make_step(self, flat: list[Any]) -> Callable[[Any, Any], Any]:
        torch, rule = self.torch, self.case.workload.rule
        hidden, cost_of = getattr(torch, self.case.workload.hidden), cost(torch, self.case.workload.output)
        (first, second), time = self.memory, self.time

        def loss_of(flat: list[Any], x: Any, y: Any) -> Any:
            for l in range(0, len(flat) - 2, 2):
                x = hidden(torch.addmm(flat[l + 1], x, flat[l]))
            return cost_of(torch.addmm(flat[-1], x, flat[-2]), y)

        def step(x: Any, y: Any) -> Any:
            gradients, loss = torch.func.grad_and_value(loss_of)(flat, x, y)
            if rule.name == "adam":
                time.add_(1)
                for p, g, m, v in zip(flat, gradients, first, second, strict=True):
                    m.mul_(rule.beta1).add_(g, alpha=1 - rule.beta1)
                    v.mul_(rule.beta2).add_(g * g, alpha=1 - rule.beta2)
                    root = (v / (1 - rule.beta2**time)).sqrt() + rule.eps
                    p.sub_(rule.rate / (1 - rule.beta1**time) * m / root)
                return loss
            for p, g, v in zip(flat, gradients, first, strict=True):
                if rule.momentum:
                    g = v.mul_(rule.momentum).add_(g)
                p.sub_(rule.rate * g)
            return loss

        return step

    def reset(self) -> None:
        for (W, b), (start, shift) in zip(self.pairs, self.case.pairs(self.case.start), strict=True):
            W.copy_(self.torch.from_numpy(start))
            b.copy_(self.torch.from_numpy(shift))
        for array in (*self.memory[0], *self.memory[1], self.time):
            array.zero_()

    def run(self, epochs: int) -> float:
        step = self.step
        for _ in range(epochs):
            total = self.torch.zeros(())
            for x, y in self.batches:
                total += step(x, y)
        return float(total) / len(self.batches)

    def theta(self) -> np.ndarray:
        return self.case.flat([(W.numpy(), b.numpy()) for W, b in self.pairs])
