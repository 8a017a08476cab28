"""engines/storage.py: where compiled code is kept, and what happens where it cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glassnet
from glassnet.engines import storage
from glassnet.engines.storage import MAKING, digest, is_compiling, is_kept, on_disk

SOURCE = Path(glassnet.__file__).parent

FIT = """
import numpy as np, glassnet as gn
from glassnet import Dense, Network, Objective
X = np.random.default_rng(0).normal(size=(20, 3))
net = Network(3, [Dense(4, "tanh"), Dense(2, "softmax")])
Y = np.eye(2)[(X[:, 0] > 0).astype(int)]
def fit(engine):
    return gn.train(Objective(net, "cross_entropy"), net.init(0), X, Y, epochs=3, engine=engine).theta
assert np.allclose(fit("numba"), fit("numpy"), rtol=1e-12)
fit("numba")
print("ok")
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={**kept, "PYTHONPATH": str(SOURCE.parent), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_digest_is_that_of_the_code() -> None:
    assert digest() == digest()
    assert len(digest()) == 12


def test_a_digest_changes_with_any_line_of_the_package(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "glassnet", ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from glassnet.engines.storage import digest; print(digest())"
    first = python(ask, PYTHONPATH=str(tmp_path)).stdout
    assert first.strip() == digest()
    with (tmp_path / "glassnet" / "engines" / "tables.py").open("a", encoding="utf-8") as file:
        file.write("# a line\n")
    assert python(ask, PYTHONPATH=str(tmp_path)).stdout != first


def runs(function: Callable[..., Any], kept: bool) -> tuple[str, bool]:
    return function.__qualname__, kept


def test_what_is_kept_carries_the_digest_in_its_name() -> None:
    def kernel() -> None:
        """Nothing."""

    assert on_disk(kernel, runs, "float32") == (f"kernel_float32_{digest()}", True)


def test_what_this_version_has_kept_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = digest()
    monkeypatch.setattr(storage, "__file__", str(tmp_path / "storage.py"))
    folder = tmp_path / "__pycache__"
    folder.mkdir()
    assert not is_kept()
    (folder / "stack.run_float64_0123-134.py311.nbi").touch()  # another version's
    assert not is_kept()
    (folder / f"stack.run_float32_{now}-134.py311.nbi").touch()
    assert is_kept()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cannot cache function 'kernel': no locator available for file 'kernels.py'"),
        PermissionError(13, "Permission denied"),
        OSError(30, "Read-only file system"),
        OSError(28, "No space left on device"),
    ],
)
def test_where_nothing_can_be_kept_it_is_compiled_in_memory(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(function: Callable[..., Any], kept: bool) -> bool:
        if kept:
            raise error
        return kept

    assert [on_disk(lambda: None, refuse, "float64") for _ in range(3)] == [False] * 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("glassnet: Compiled code cannot be kept on disk (")


def fail(function: Callable[..., Any], kept: bool) -> None:
    raise RuntimeError("something else")


def test_another_error_is_not_taken_for_that_one() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        on_disk(lambda: None, fail, "float64")


TWO_KERNELS = """
import numpy as np
from glassnet.engines import kernels
assert kernels.address("multiply", np.float64) and kernels.address("square_sum", np.float64)
"""


def test_where_no_folder_can_be_written_it_is_said_once(tmp_path: Path) -> None:
    """Files stand where folders would be made: no one, root included, can write there."""
    shutil.copytree(SOURCE, tmp_path / "glassnet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "glassnet" / "engines" / "__pycache__").write_text("")
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "cache")
    done = python(TWO_KERNELS, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR=nowhere, HOME=nowhere, XDG_CACHE_HOME=nowhere)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("glassnet: Compiled code cannot be kept on disk (")


def test_what_is_made_once_is_said_once_and_by_the_next_process_no_more(tmp_path: Path) -> None:
    said = [python(TWO_KERNELS, NUMBA_CACHE_DIR=str(tmp_path)).stderr for _ in range(2)]
    assert said == [f"glassnet: {MAKING}\n", ""]


def test_what_another_version_has_left_is_not_taken_for_ready(tmp_path: Path) -> None:
    said = python(TWO_KERNELS, NUMBA_CACHE_DIR=str(tmp_path)).stderr
    for file in tmp_path.rglob("*.nbi"):
        file.rename(file.with_name(file.name.replace(digest(), "0" * len(digest()))))
    assert [said, python(TWO_KERNELS, NUMBA_CACHE_DIR=str(tmp_path)).stderr] == [f"glassnet: {MAKING}\n"] * 2


def test_others_can_see_that_code_is_made() -> None:
    seen = []
    on_disk(lambda: None, lambda function, kept: seen.append(is_compiling()), "float32")
    with pytest.raises(RuntimeError, match="something else"):
        on_disk(lambda: None, fail, "float64")
    assert (seen, is_compiling()) == ([True], False)


def test_what_one_process_compiles_the_next_one_loads() -> None:
    """The second one saves nothing; whatever its hashes and addresses are."""
    for seed in ("1", "2"):
        done = python(FIT_ALL, NUMBA_DEBUG_CACHE="1", PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "data loaded from" in done.stdout
    assert [line for line in done.stdout.splitlines() if "data saved to" in line] == []


FIT_ALL = """
import numpy as np, glassnet as gn
from glassnet import activations, losses, optimizers, Dense, Network, Objective, BatchNorm, Dropout, LayerNorm
X = np.abs(np.random.default_rng(0).normal(size=(8, 3))) + 0.1
def fit(output, loss, optimizer="sgd", layers=()):
    net = Network(3, [Dense(3, "tanh"), *layers, Dense(3, output)])
    gn.train(Objective(net, loss), net.init(0), X, X / X.sum(1, keepdims=True), epochs=1, engine="numba",
             optimizer=optimizers.get(optimizer, 1e-6))
for output in ("exp", "sigmoid", "softplus", "leaky_relu"):
    fit(output, "squared_error")
fit("exp", "poisson"); fit("exp", "gamma"); fit("sigmoid", "focal"); fit("softmax", "cross_entropy")
fit("identity", "huber", "adam", [BatchNorm(), Dropout(0.1), LayerNorm()])
print("ok")
"""


# ---- without Numba ------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None  # what is None cannot be imported, and is not found
"""


@pytest.mark.parametrize("engine", ["None", "'auto'", "'numpy'", "'numba'"])
def test_without_numba_the_reference_does_it_all(engine: str) -> None:
    """In silence, where the compiled engine was not asked for by name; else with one line."""
    code = FIT.replace(
        'assert np.allclose(fit("numba"), fit("numpy"), rtol=1e-12)\nfit("numba")', f"fit({engine})\n" * 2
    )
    done = python(WITHOUT + code)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-2000:]
    lines = done.stderr.splitlines()
    assert len(lines) <= 1
    if engine == "'numba'":
        assert "Numba" in lines[0]
