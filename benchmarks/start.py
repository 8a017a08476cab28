"""The start: a fresh process from `import` to a fitted digits network, 20 epochs of the `digits` workload.

The data come from a file, so that nobody needs another library to load them. "glassnet, empty cache" is the very first
start on a machine: compiled code is kept nowhere (an empty NUMBA_CACHE_DIR); it is measured once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import Timings
from benchmarks.workloads import WORKLOADS, Case

EPOCHS = 20
LOAD = """
import sys, numpy as np
arrays = np.load(sys.argv[1])
X, Y = arrays["X"], arrays["Y"]
"""
PROGRAMS = {
    "glassnet": """
import glassnet as gn
net = gn.Network(64, [gn.Dense(50, "sigmoid"), gn.Dense(10, "softmax")])
run = gn.train(gn.Objective(net, "cross_entropy"), net.init(0, X.dtype), X, Y, optimizer=gn.SGD(0.5), epochs=EPOCHS,
               batch_size=100, engine=ENGINE)
score = np.mean(net.forward(run.theta, X).output.argmax(axis=1) == Y.argmax(axis=1))
""",
    "scikit-learn": """
from sklearn.neural_network import MLPClassifier
model = MLPClassifier((50,), activation="logistic", solver="sgd", learning_rate_init=0.5, momentum=0.0, batch_size=100,
                      tol=1e30, n_iter_no_change=EPOCHS - 2, max_iter=EPOCHS + 1, random_state=0)
score = model.fit(X, Y.argmax(axis=1)).score(X, Y.argmax(axis=1))
""",
    "PyTorch": """
import torch
torch.manual_seed(0)
x, y = torch.from_numpy(X), torch.from_numpy(Y).argmax(dim=1)
model = torch.nn.Sequential(torch.nn.Linear(64, 50), torch.nn.Sigmoid(), torch.nn.Linear(50, 10))
optimizer = torch.optim.SGD(model.parameters(), 0.5)
for _ in range(EPOCHS):
    for rows in torch.randperm(len(x)).split(100):
        loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
with torch.no_grad():
    score = (model(x).argmax(dim=1) == y).float().mean().item()
""",
}
MODULES = {"glassnet": "glassnet", "scikit-learn": "sklearn", "PyTorch": "torch"}


def program(name: str, engine: str) -> str:
    last = "assert score > 0.8, f'the network reads only {score:.0%} right'"
    return PROGRAMS[name].replace("ENGINE", repr(engine)).replace("EPOCHS", str(EPOCHS)) + last


def seconds(name: str, engine: str, file: Path, cache: Path | None = None) -> float:
    code = LOAD + program(name, engine)
    extra = {} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, env={**os.environ, **extra})
    return time.perf_counter() - begin


def cannot_import(module: str) -> str:
    """Return what Python says when it cannot import the module, or nothing."""
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def measure_start(engine: str, repeats: int, quick: bool) -> Timings:
    """Time whole processes in turn; their microseconds are those of the whole process."""
    timings = Timings(f"start: a fresh process from import to a digits network, {EPOCHS} epochs", 1)
    timings.absent = {name: trouble for name, module in MODULES.items() if (trouble := cannot_import(module))}
    present = [name for name in PROGRAMS if name not in timings.absent]
    timings.kinds = {name: "glassnet" if name == "glassnet" else "peer" for name in present}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npz"
        X, Y = Case(WORKLOADS["digits"]).data
        np.savez(file, X=X, Y=Y)
        for name in present:  # byte code, compiled code and the disk's cache
            seconds(name, engine, file)
        for _ in range(repeats):
            for name in present:
                timings.micros.setdefault(name, []).append(seconds(name, engine, file) * 1e6)
        if not quick:
            cold = seconds("glassnet", engine, file, Path(folder) / "empty") * 1e6
            timings.micros["glassnet, empty cache"] = [cold] * repeats
            timings.kinds["glassnet, empty cache"] = "glassnet"
    return timings
