"""persistence.py, pipelines: nothing but trusted types comes back."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from glassnet.errors import GlassnetError
from glassnet.persistence import TRUSTED, load_pipeline, save_pipeline
from glassnet.tables import make_pipeline
from names import plain


class Stranger:
    """A type that nobody has heard of; making one would leave a trace."""

    made = 0

    def __new__(cls) -> Stranger:
        cls.made += 1
        return super().__new__(cls)


class StrangeScaler(StandardScaler):  # type: ignore[misc]
    """A scaler that is not scikit-learn's own."""


def mixed(m: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=m, freq="h")
    return pd.DataFrame(
        {
            "number": np.where(rng.random(m) < 0.2, np.nan, rng.normal(size=m)),
            "category": rng.choice(np.array(["a", "b", None], dtype=object), m),
            "text": [f"word {i} {rng.integers(0, 1000)} tail" for i in range(m)],
            "date": days,
            "date with zone": days.tz_localize("Europe/Berlin"),
            "date with offset": [f"2020-01-{i % 28 + 1:02d}T10:00:00+02:00" for i in range(m)],
            "pandas category": pd.Categorical(rng.choice(list("xyz"), m)),
            "boolean": rng.random(m) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Pipeline, pd.DataFrame]:
    frame = mixed()
    y = np.where(np.arange(len(frame)) % 3 == 0, "yes", "no")
    network = MLPClassifier(hidden_layer_sizes=4, max_iter=200, tol=1e-1, random_state=0)
    return make_pipeline(network, frame).fit(frame, y), frame


@pytest.fixture(scope="module")
def saved(fitted: tuple[Pipeline, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.skops"
    save_pipeline(path, fitted[0])
    return path


def test_round_trip(fitted: tuple[Pipeline, pd.DataFrame], saved: Path) -> None:
    pipeline, frame = fitted
    again = load_pipeline(saved)
    for part in (frame, frame.tail(3), frame.head(2).assign(category="new", number=np.nan)):
        np.testing.assert_array_equal(again.predict_proba(part), pipeline.predict_proba(part))
        np.testing.assert_array_equal(again.predict(part), pipeline.predict(part))
    assert [path.name for path in saved.parent.iterdir()] == ["model.skops"]


def test_the_list_of_trusted_types_is_explicit(saved: Path) -> None:
    assert len(set(TRUSTED)) == len(TRUSTED)
    assert {"glassnet.estimators.mlp.MLPClassifier", "glassnet.estimators.mlp.MLPRegressor"} <= set(TRUSTED)
    assert set(skops.io.get_untrusted_types(file=saved)) <= set(TRUSTED)


def test_what_has_moved_is_found_under_its_earlier_name(tmp_path: Path) -> None:
    """Progress and RuleState lie in files of their own now; files of before name the ones they were in."""
    model = gn.MLPRegressor(max_iter=2, tol=0.0, random_state=0, warm_start=True, callbacks=[gn.Progress()])
    X = np.linspace(-1.0, 1.0, 20)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline = Pipeline([("scale", StandardScaler()), ("model", model)]).fit(X, X[:, 0])
    save_pipeline(tmp_path / "now.skops", pipeline)
    with zipfile.ZipFile(tmp_path / "now.skops") as now, zipfile.ZipFile(tmp_path / "then.skops", "w") as then:
        for name in now.namelist():
            data = now.read(name)
            if name == "schema.json":
                assert data.count(b'"glassnet.progress"') >= 1
                assert data.count(b'"glassnet.rules"') >= 1
                data = data.replace(b'"glassnet.progress"', b'"glassnet.callbacks"')
                data = data.replace(b'"glassnet.rules"', b'"glassnet.optimizers"')
            then.writestr(name, data)
    again = load_pipeline(tmp_path / "then.skops")
    assert again[-1].callbacks == [gn.Progress()]
    np.testing.assert_array_equal(again.predict(X), pipeline.predict(X))


@pytest.mark.parametrize("stranger", [Stranger(), os.system, eval, print], ids=plain)
def test_a_hostile_file_is_refused(tmp_path: Path, stranger: Any) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge())])
    pipeline.set_params(model__alpha=stranger)
    path = tmp_path / "hostile.skops"
    try:
        skops.io.dump(pipeline, path)
    except TypeError:
        pytest.skip("skops itself does not write this one")
    made = Stranger.made
    with pytest.raises(
        GlassnetError, match=r"must be made of trusted types, received .*(Stranger|system|eval|print)"
    ) as caught:
        load_pipeline(path)
    assert "\n" not in str(caught.value)
    assert Stranger.made == made


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Ridge(), protocol=protocol))
        with pytest.raises(GlassnetError, match=r"must be a skops file.*pickles are never read"):
            load_pipeline(path)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    with pytest.raises(GlassnetError, match=r"pipeline must be made of trusted types, received .*StrangeScaler"):
        save_pipeline(path, Pipeline([("scale", StrangeScaler()), ("model", Ridge())]))
    with pytest.raises(GlassnetError, match="must be a scikit-learn Pipeline, received Ridge"):
        save_pipeline(path, Ridge())
    assert list(tmp_path.iterdir()) == []


def test_broken_files(tmp_path: Path, saved: Path) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "model.skops"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for data in (b"", b"PK", b"hello", whole[:100], whole[: len(whole) // 2], whole[:-1], bytes(flipped)):
        path.write_bytes(data)
        with pytest.raises(GlassnetError, match="must be a skops file, received") as caught:
            load_pipeline(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(GlassnetError, match="must be a readable file, received No such file"):
        load_pipeline(tmp_path / "nowhere.skops")
    with pytest.raises(GlassnetError, match="must be a file, received a folder"):
        load_pipeline(tmp_path)


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"protocol": 1}',
        '{"protocol": 99}',
        '{"protocol": 2, "__class__": "Ridge"}',
        "{" * 9,
    ],
)
def test_archives_with_nonsense_in_them(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(GlassnetError, match="must be a pipeline written by save_pipeline"):
        load_pipeline(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", schema)
    with pytest.raises(GlassnetError, match="no schema"):
        load_pipeline(path)


def test_something_else_than_a_pipeline_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(Ridge(), path)
    with pytest.raises(GlassnetError, match="must be a scikit-learn Pipeline, received Ridge"):
        load_pipeline(path)
