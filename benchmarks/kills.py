"""Kill a training process (SIGKILL), go on from what it has left, and compare with the run that was never stopped.

    python -m benchmarks.kills --times 30

Kills come in three ways in turn: from outside at a random moment; in the middle of writing a checkpoint, when half of
its bytes are in the temporary file; and between the writing and the renaming. A run goes on until it has been killed
three times and then ends (one that ends too soon to be killed is begun anew, and killed earlier); theta, BatchNorm's
statistics and the history (its seconds left out) are compared byte for byte. Each case has an engine, a rule and a
seed of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import glassnet as gn
from glassnet import atomic, checkpoints
from glassnet.callbacks import Watcher
from glassnet.history import EpochRecord

RULES = {
    "SGD": gn.SGD(0.01),
    "momentum": gn.SGD(0.01, momentum=0.9),
    "Nesterov": gn.SGD(0.01, momentum=0.9, nesterov=True),
    "AdaGrad": gn.AdaGrad(0.01),
    "RMSProp": gn.RMSProp(1e-3),
    "Adam": gn.Adam(1e-3),
    "AdamW": gn.AdamW(1e-3),
    "NAdam": gn.NAdam(1e-3),
    "ClipNorm": gn.ClipNorm(gn.Adam(1e-3), 0.5),
    "cosine": gn.Adam(gn.schedules.Cosine(1e-2, 480)),
}
ENGINES = ("numba", "numpy")
WAYS = ("outside", "half written", "before the renaming")
EPOCHS = 120
PATIENCE = 120.0
"""Seconds after which a process that has not ended counts as hanging."""
ATTEMPTS = 8
"""How often a run is begun anew that ended before it could be killed, each time to be killed in half the time."""


# ---- the process that is killed -----------------------------------------------------------------------------------


def run(folder: str, engine: str, rule: str, seed: int) -> gn.Run:
    """Train, or go on, with everything at once that has a memory."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(64, 8))
    Y = np.sin(X[:, :1])
    net = gn.Network(8, [gn.Dense(48, "tanh"), gn.Dropout(0.1), gn.BatchNorm(), gn.Dense(48, "relu"), gn.Dense(1)])
    callbacks: list[Any] = [gn.EarlyStopping(1000), gn.ReduceOnPlateau(0.5, 5), Begun()]
    if folder:
        callbacks.append(gn.Checkpoint(folder))
    return gn.train(
        gn.Objective(net, "squared_error"), net.init(rng=0), X, Y, batch_size=16, epochs=EPOCHS, optimizer=RULES[rule],
        average=0.9, engine=engine, callbacks=callbacks, validation=(X[:16] + 0.1, Y[:16]), rng=seed,
        resume=folder or None,
    )  # fmt: skip


class Begun:
    """A callback that says "go" when the first epoch has been run, and the process can be killed at work."""

    def start(self) -> Watcher:
        said: list[bool] = []

        def after_epoch(record: EpochRecord) -> None:
            if not said:
                said.append(True)
                print("go", flush=True)

        return Watcher(after_epoch)


def bytes_of(run: gn.Run) -> dict[str, str]:
    """Return the result as text: every number with all its bits."""
    columns = {name: run.history[name].tobytes().hex() for name in run.history.columns if name != "seconds"}
    facts = {"status": run.status, "reason": run.reason, "engine": run.engine, "history": json.dumps(columns)}
    return {"theta": run.theta.tobytes().hex(), "state": run.state.tobytes().hex(), **facts}


def die_in_write(number: int, way: str) -> None:
    """Make the process kill itself in the `number`-th write of a file from now on."""
    whole, count = atomic.os.fsync, [0]

    def fsync(descriptor: int) -> None:
        count[0] += 1
        if count[0] == 2 * number - 1:  # the file; the folder follows
            if way == "half written":
                size = os.fstat(descriptor).st_size
                os.ftruncate(descriptor, size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        whole(descriptor)

    atomic.os.fsync = fsync


def child(folder: str, engine: str, rule: str, seed: str, result: str, way: str, number: str) -> None:
    if int(number):
        die_in_write(int(number), way)
    Path(result).write_text(json.dumps(bytes_of(run(folder, engine, rule, int(seed)))))


# ---- the one that kills -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """A run that was killed: where, how, and whether it ended as the one that was not."""

    engine: str
    rule: str
    epochs: tuple[int, ...]
    """The newest checkpoint that each kill has left; 0 for none."""
    ways: tuple[str, ...]
    unfinished: int
    """How many kills left a file that was being written."""
    equal: bool


def process(folder: Path | None, case: tuple[str, str, int], result: Path, way: str, number: int) -> Any:
    source, here = Path(gn.__file__).parents[1], Path(__file__).parents[1]
    engine, rule, seed = case
    arguments = ["--child", str(folder or ""), engine, rule, str(seed), str(result), way, str(number)]
    started = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kills", *arguments], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{here}"}, cwd=here,
    )  # fmt: skip
    assert started.stdout is not None
    started.stdout.readline()  # nothing where it had ended already, or has killed itself
    return started


def one(case: tuple[str, str, int], kills: int, rng: np.random.Generator, base: Path, first: int = 0) -> Killed:
    """Kill one run so many times, let it end, and compare."""
    result = base / "result.json"
    with process(None, case, result, "", 0) as whole_run:
        began = time.perf_counter()
        assert whole_run.wait(PATIENCE) == 0
        latest = (time.perf_counter() - began) / (kills + 1)  # without checkpoints: a killed run takes longer
    whole = json.loads(result.read_text())
    for attempt in range(ATTEMPTS):
        killed = killed_run(case, kills, rng, base / f"run {attempt}", whole, latest / 2**attempt, first)
        if killed is not None:
            return killed
    raise RuntimeError(f"{ATTEMPTS} runs ended before they could be killed {kills} times")


def killed_run(
    case: tuple[str, str, int],
    kills: int,
    rng: np.random.Generator,
    folder: Path,
    whole: dict[str, str],
    latest: float,
    first: int,
) -> Killed | None:
    """Kill a run so many times, let it end, and compare it with the whole one; None where it ended before.

    A kill from outside comes at a random moment in the first `latest` seconds after an epoch.
    A run that has ended cannot be killed any more: whoever starts it again only reads its result.
    """
    result = folder.with_suffix(".json")
    epochs: list[int] = []
    ways: list[str] = []
    unfinished = 0
    while True:
        kill = len(epochs) < kills
        way = WAYS[(first + len(epochs)) % len(WAYS)] if kill else ""
        number = int(rng.integers(1, EPOCHS // (kills + 1))) if kill and way != "outside" else 0
        with process(folder, case, result, way, number) as started:
            try:
                code = started.wait(float(rng.uniform(0.0, latest)) if way == "outside" else PATIENCE)
            except subprocess.TimeoutExpired:
                started.send_signal(signal.SIGKILL)
                code = started.wait()
        if code == -signal.SIGKILL:
            unfinished += bool(list(folder.glob(".*.tmp")))
            epochs.append(max(checkpoints.stored(folder), default=0))
            ways.append(way)
            continue
        assert code == 0, f"the process ended with {code}"
        if kill:
            return None
        equal = json.loads(result.read_text()) == whole
        return Killed(case[0], case[1], tuple(epochs), tuple(ways), unfinished, equal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, done, runs = np.random.default_rng(options.seed), 0, []
    while done < options.times:
        number = len(runs)
        case = ENGINES[number % 2], list(RULES)[number % len(RULES)], options.seed + number
        with tempfile.TemporaryDirectory() as base:
            runs.append(one(case, min(3, options.times - done), rng, Path(base), number))
        done += len(runs[-1].epochs)
        last = runs[-1]
        said = "equal" if last.equal else "NOT EQUAL"
        where = ", ".join(f"epoch {e} ({way})" for e, way in zip(last.epochs, last.ways, strict=True))
        print(f"{done:>4} {last.engine:6} {last.rule:10} killed after {where}: {said}", flush=True)
    equal = sum(len(killed.epochs) for killed in runs if killed.equal)
    unfinished = sum(killed.unfinished for killed in runs)
    print(f"{equal} of {done} kills resumed bit for bit ({len(runs)} runs); {unfinished} left a file half written")
    raise SystemExit(0 if equal == done else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
