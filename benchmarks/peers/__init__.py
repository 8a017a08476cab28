"""The contestants, each in a file of its own: a foreign library is imported in `prepare`, never before."""

from __future__ import annotations

from benchmarks.contestant import Contestant
from benchmarks.peers.glassnet_peer import Glassnet
from benchmarks.peers.jax_peer import Jax
from benchmarks.peers.keras_peer import Keras
from benchmarks.peers.products import Products, RulePass
from benchmarks.peers.sklearn_peer import ScikitLearn
from benchmarks.peers.torch_peer import Torch, TorchCompiled
from benchmarks.workloads import Workload


def contestants(workload: Workload, engine: str, quick: bool) -> list[Contestant]:
    """Return who takes part in a workload."""
    some: list[Contestant] = [Glassnet("glassnet", engine), Glassnet("glassnet, shuffled", engine, "shuffle")]
    if engine != "numpy":
        some.append(Glassnet("glassnet, numpy engine", "numpy"))
    some += [ScikitLearn(), Torch(), Jax("JAX")]
    if workload.batch == 1:
        some.append(Jax("JAX, unrolled"))
    if not quick:
        some += [TorchCompiled(), Keras()]
    some.append(Products())
    if workload.rule.name == "adam":
        some.append(RulePass())
    return some
