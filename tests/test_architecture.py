"""The house: who may import whom, and what nobody may do, read from the sources with `ast` (functions included)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import glassnet

SOURCE = Path(glassnet.__file__).parent
FILES = sorted(file.relative_to(SOURCE).with_suffix("").as_posix() for file in SOURCE.rglob("*.py"))

HOUSE = [
    *("errors", "arrays", "registry", "records"),
    *("activations", "losses", "initializers", "schedules"),
    *("layout", "layers", "network"),
    *("engines/contract", "engines/reference", "engines/notices", "engines/threads", "engines/storage"),
    *("engines/machine", "engines/elementary", "engines/formulas", "engines/kernels", "engines/layer_kernels"),
    *(
        "engines/blas",
        "engines/cost",
        "engines/micro",
        "engines/registers",
        "engines/tiles",
        "engines/tables",
        "engines/program",
        "engines/products",
        "engines/rows",
        "engines/sparse",
        "engines/zeros",
        "engines/row_kernels",
        "engines/batch",
        "engines/updates",
        "engines/one_row",
        "engines/epoch",
        "engines/stack_kernels",
        "engines/stack",
        "engines/pace",
        "engines/addresses",
        "engines/planning",
        "engines/compiled",
        "engines/automatic",
        "engines/__init__",
    ),
    *("objective", "gradcheck"),
    *("levenberg_marquardt", "least_squares", "posterior", "bayesian"),
    *(
        "rules",
        "clipping",
        "optimizers",
        "scores",
        "history",
        "atomic",
        "sealed",
        "checkpoints",
        "watchers",
        "progress",
        "callbacks",
        "full_batch",
        "solvers",
        "sampling",
        "divergence",
        "stepping",
        "recording",
        "resuming",
        "training",
        "streaming",
        "population",
    ),
    *(
        "insight/summary",
        "insight/foreign",
        "insight/samples",
        "insight/differences",
        "insight/chains",
        "insight/rebuilding",
        "insight/mutants",
        "insight/factors",
        "insight/judging",
        "insight/shaping",
        "insight/mending",
        "insight/verdicts",
        "insight/wording",
        "insight/debug",
        "insight/expressions",
        "insight/typeset",
        "insight/exact",
        "insight/equations",
        "insight/pages",
        "insight/one_step",
        "insight/chain",
        "insight/patient",
        "insight/remedies",
        "insight/findings",
        "insight/admission",
        "insight/data_signs",
        "insight/pairing",
        "insight/vital_signs",
        "insight/course",
        "insight/aftermath",
        "insight/explain",
        "insight/style",
        "insight/training_plots",
        "insight/result_plots",
        "insight/network_plots",
        "insight/layer_plots",
        "insight/surface_plots",
        "insight/displays",
        "insight/plots",
        "insight/pictures",
        "insight/html",
        "insight/exercises",
        "insight/report",
    ),
    "insight/__init__",
    *("datasets", "table_files", "table_batches", "tables", "persistence"),
    *("estimators/", "pde/"),
    *("search", "warming"),
    *("export/__init__", "export/tracing", "export/plan", "export/scaling", "export/reading"),
    *("export/names", "export/c_code", "export/numpy_code", "onnx_export"),
    *("insight/doctor", "certificate"),
    "__init__",
    *("gallery/experiment", "gallery/page", "gallery/"),
    *("cli/", "__main__"),
]
"""Top to bottom: a file may import only files printed above it. `folder/` stands for all files of a folder."""

NO_NETWORK = {"layers", "network", "engines/__init__", "engines/reference", "engines/compiled", "objective"}
NEVER = {"engines/": {"losses"}, "rules": NO_NETWORK, "clipping": NO_NETWORK, "optimizers": NO_NETWORK}
"""Files printed above that must not be imported all the same: engines know no loss, rules no network."""

HOMES = {
    "scipy.optimize": ("solvers",),
    "matplotlib": ("insight/",),
    "rich": ("cli/", "progress"),
    "typer": ("cli/",),
    "skrub": ("tables", "persistence"),
    "skops": ("tables", "persistence"),
    "numba": ("engines/",),
    "llvmlite": (
        "engines/machine",
        "engines/micro",
        "engines/registers",
        "engines/sparse",
        "engines/row_kernels",
        "engines/blas",
    ),
    "threadpoolctl": ("engines/threads",),
    "sklearn": ("datasets", "tables", "persistence", "estimators/", "search", "export/", "cli/"),
    "onnx": ("onnx_export",),
    "onnxruntime": ("certificate",),
    "safetensors": ("sealed",),
    "torch": (),
    "jax": (),
}
"""One foreign library, one file."""

IN_TYPES = {"matplotlib": ("gallery/",)}
"""Who may name a library in its types alone, under TYPE_CHECKING."""

COMPILED = {
    *("engines/machine", "engines/elementary", "engines/formulas", "engines/kernels", "engines/layer_kernels"),
    *("engines/products", "engines/batch", "engines/epoch", "engines/planning", "engines/compiled"),
    *(
        "engines/micro",
        "engines/registers",
        "engines/tiles",
        "engines/sparse",
        "engines/zeros",
        "engines/updates",
        "engines/one_row",
        "engines/row_kernels",
        "engines/rows",
        "engines/blas",
        "engines/stack_kernels",
        "engines/stack",
    ),
}
"""Imported on first use only, so that these may import Numba and SciPy at their top."""

SEEDED = {
    "Generator",
    "BitGenerator",
    "SeedSequence",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "MT19937",
    "default_rng",
    "RandomState",
}


@dataclass(frozen=True)
class Import:
    """`name` is dotted and absolute: "glassnet.errors.fault"; `top` says that it runs when the file is imported,
    `typing` that it never runs at all: under TYPE_CHECKING."""

    name: str
    top: bool
    typing: bool


def within(path: str, places: tuple[str, ...] | set[str]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


def rank(path: str) -> int | None:
    return next((i for i, place in enumerate(HOUSE) if within(path, (place,))), None)


def home(name: str) -> str:
    """Return the file that a dotted name of glassnet lives in: glassnet.engines.Engine -> engines/__init__."""
    parts = name.split(".")[1:]
    for k in range(len(parts), 0, -1):
        path = "/".join(parts[:k])
        for file in (path, f"{path}/__init__"):
            if file in HOUSE or file in FILES:
                return file
    return f"{parts[0]}/__init__" if parts and f"{parts[0]}/" in HOUSE else "__init__"


def imports(path: str, source: str) -> Iterator[Import]:
    package = ["glassnet", *path.split("/")[:-1]]

    def visit(node: ast.AST, top: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, top, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(f"{module}.{alias.name}", top, typing) for alias in node.names)
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            never = guard and child not in node.orelse
            yield from visit(child, top and not lazy and not never, typing or never)

    yield from visit(ast.parse(source), top=True, typing=False)


def faults(path: str, source: str) -> list[str]:
    """Return one line for each rule that the file breaks."""
    mine = rank(path)
    if mine is None:
        return ["not in the house list"]
    found = []
    for one in imports(path, source):
        library = one.name.split(".")[0]
        if library == "glassnet":
            target = home(one.name)
            theirs = rank(target)
            siblings = theirs == mine and HOUSE[mine].endswith("/")
            if theirs is None or (theirs >= mine and not siblings):
                found.append(f"imports {target}, which is not printed above it")
            if any(within(path, (place,)) and target in names for place, names in NEVER.items()):
                found.append(f"must never import {target}")
            continue
        for foreign, homes in HOMES.items():
            places = homes + (IN_TYPES.get(foreign, ()) if one.typing else ())
            if f"{one.name}.".startswith(f"{foreign}.") and not within(path, places):
                found.append(f"imports {foreign}, which belongs to {', '.join(places) or 'nobody'}")
        core = mine <= HOUSE.index("training") and path not in COMPILED
        if core and one.top and library != "numpy" and library not in sys.stdlib_module_names:
            found.append(f"imports {library} at the top of a core file")
        if library == "random":
            found.append("imports the global random module")
    return found + misdeeds(path, source)


def misdeeds(path: str, source: str) -> list[str]:
    """Reads of the environment and of NumPy's global random state."""
    found = []
    for node in ast.walk(ast.parse(source)):
        text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        module = node.module if isinstance(node, ast.ImportFrom) else ""
        reads = text in ("os.environ", "os.getenv") or (module == "os" and names & {"environ", "getenv"})
        if reads and path != "datasets":
            found.append("reads the environment")
        drawn = text.rpartition(".random.")[2] if text.startswith(("np.random.", "numpy.random.")) else ""
        loose = {drawn} - {""} | (names if module == "numpy.random" else set())
        found += [f"uses the global np.random.{name}" for name in sorted(loose - SEEDED) if "." not in name]
    return found


def text(path: str) -> str:
    return (SOURCE / f"{path}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_the_rules_of_the_house(path: str) -> None:
    assert faults(path, text(path)) == []


def test_no_two_files_import_each_other() -> None:
    graph = {
        path: {home(one.name) for one in imports(path, text(path)) if one.name.split(".")[0] == "glassnet"} - {path}
        for path in FILES
    }
    assert len(list(TopologicalSorter(graph).static_order())) >= len(FILES)


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("losses", "from glassnet.network import Network", "imports network, which"),
        ("losses", "from glassnet import network", "imports network, which"),
        ("losses", "from .network import Network", "imports network, which"),
        ("losses", "import glassnet", "imports __init__, which"),
        ("layers", "def f():\n    import glassnet.network as n", "imports network, which"),
        ("engines/contract", "from . import reference", "imports engines/reference, which"),
        ("engines/reference", "from ..objective import Objective", "imports objective, which"),
        ("engines/reference", "from glassnet.losses import get", "must never import losses"),
        ("optimizers", "from glassnet.network import Network", "must never import network"),
        ("rules", "from glassnet.network import Network", "must never import network"),
        ("clipping", "from glassnet.objective import Objective", "must never import objective"),
        ("errors", "import glassnet.nowhere", "imports __init__, which"),
        ("pde/paths", "from glassnet.cli import main", "imports cli/__init__, which"),
        ("helpers", "", "not in the house list"),
        ("insight/helpers", "", "not in the house list"),
        ("training", "def f():\n    from scipy import optimize", "imports scipy.optimize"),
        ("training", "import scipy.optimize as so", "imports scipy.optimize"),
        ("gallery/xor", "import matplotlib.pyplot as plt", "imports matplotlib"),
        ("gallery/xor", "def f():\n    from matplotlib.figure import Figure", "imports matplotlib"),
        ("gallery/xor", "from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    import matplotlib", "matplotlib"),
        ("gallery/xor", "if TYPE_CHECKING:\n    pass\nelse:\n    import matplotlib", "imports matplotlib"),
        ("cli/fit", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure", "imports matplotlib"),
        ("gallery/experiment", "from glassnet.gallery import xor", "imports gallery/"),
        ("gallery/page", "from glassnet.gallery.xor import show", "imports gallery/"),
        ("gallery/xor", "from glassnet.cli import main", "imports cli/__init__, which"),
        ("sampling", "from glassnet.training import train", "imports training, which"),
        ("solvers", "from glassnet.sampling import Batches", "imports sampling, which"),
        ("training", "def f():\n    from rich.progress import Progress", "imports rich"),
        ("callbacks", "def f():\n    import typer", "imports typer"),
        ("estimators/classifier", "import skops.io", "imports skops"),
        ("objective", "def f():\n    import numba", "imports numba"),
        ("pde/paths", "from sklearn.base import clone", "imports sklearn"),
        ("cli/fit", "import torch", "belongs to nobody"),
        ("history", "import pandas as pd", "imports pandas at the top"),
        ("callbacks", "import rich", "imports rich at the top"),
        ("callbacks", "def f():\n    import rich", "imports rich, which belongs to cli/, progress"),
        ("progress", "import rich", "imports rich at the top"),
        ("solvers", "try:\n    import scipy.optimize\nexcept ImportError:\n    pass", "imports scipy at the top"),
        ("engines/reference", "import numba", "imports numba at the top"),
        ("objective", "import random", "global random module"),
        ("objective", "import os\nx = os.environ['A']", "reads the environment"),
        ("objective", "import os\nx = os.getenv('A')", "reads the environment"),
        ("objective", "from os import environ", "reads the environment"),
        ("layers", "import numpy as np\nnp.random.seed(0)", "np.random.seed"),
        ("layers", "import numpy as np\ndef f(): return np.random.normal(size=3)", "np.random.normal"),
        ("layers", "from numpy.random import rand", "np.random.rand"),
    ],
)  # fmt: skip
def test_planted_fault_is_seen(path: str, source: str, message: str) -> None:
    assert any(message in fault for fault in faults(path, source)), faults(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("losses", "from glassnet.activations import sigmoid"),
        ("engines/__init__", "def f():\n    from glassnet.engines.compiled import Engine"),
        ("engines/compiled", "import numba\nfrom scipy.linalg import cython_blas"),
        ("history", "def f():\n    import pandas as pd"),
        ("progress", "def f():\n    from rich.console import Console"),
        ("history", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd"),
        ("solvers", "def f():\n    from scipy.optimize import minimize"),
        ("estimators/regressor", "from sklearn.base import BaseEstimator\nfrom .base import Base"),
        ("insight/report", "from glassnet.insight import plots"),
        ("cli/main", "import glassnet as gn\nfrom glassnet.gallery import xor"),
        (
            "gallery/xor",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from matplotlib.figure import Figure",
        ),
        ("gallery/xor", "import typing\nif typing.TYPE_CHECKING:\n    import matplotlib.figure"),
        ("gallery/xor", "from glassnet.gallery.experiment import Experiment\nfrom glassnet.gallery import gates, page"),
        ("datasets", "import os\nx = os.environ.get('GLASSNET_DATA')"),
        ("layers", "import numpy as np\nrng: np.random.Generator = np.random.default_rng(0)\nrng.random(3)"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert faults(path, source) == []


def loaded_by(statement: str) -> set[str]:
    """Return the foreign libraries that a fresh Python loads for `statement`, beyond those of NumPy."""
    code = (
        "import sys, numpy, numpy.random; before = set(sys.modules)\n"
        f"{statement}\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(*sorted(new - {'numpy', 'glassnet'}))"
    )
    path = {"PYTHONPATH": str(SOURCE.parent), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_glassnet_loads_numpy_alone() -> None:
    assert loaded_by("import glassnet") == set()


def test_loading_a_foreign_library_is_seen() -> None:
    assert "scipy" in loaded_by("import glassnet, scipy.special")
