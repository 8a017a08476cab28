"""Files that are broken, old, hostile: a right result or one of our errors, and nothing runs.

`python -m benchmarks.fuzz --cases N --door files|tables|estimators|cli` does the same many times over.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from benchmarks import fuzz
from benchmarks.fuzz_doors import files
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from glassnet import checkpoints, sealed
from glassnet.errors import GlassnetError
from glassnet.persistence import load_pipeline
from glassnet.tables import read_table, split_target

DATA = Path(__file__).parent / "data"
seeds = st.integers(0, 2**32 - 1)

# ---- every door ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_model_files(seed: int) -> None:
    assert fuzz.one("files", seed) in ("right", "refused")


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_table_files(seed: int) -> None:
    assert fuzz.one("tables", seed) in ("right", "refused")


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_estimator_inputs(seed: int) -> None:
    assert fuzz.one("estimators", seed) in ("right", "refused")


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_command_lines(seed: int) -> None:
    assert fuzz.one("cli", seed) in ("right", "refused")


@pytest.mark.parametrize("door", ["files", "tables", "estimators"])
def test_both_ends_are_seen(door: str) -> None:
    """Cases that are all refused, or all right, would show nothing."""
    assert {fuzz.one(door, seed) for seed in range(25)} == {"right", "refused"}


def test_a_wrong_result_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge itself: a reader that takes damaged files for whole ones, with one bit less."""

    def careless(path: Path, about: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in about.items() if name != "sha256"}

    monkeypatch.setattr("glassnet.persistence.check_seal", careless)
    with pytest.raises(AssertionError):
        list(map(fuzz.one, ["files"] * 300, range(300)))


# ---- old versions of the format -----------------------------------------------------------------------------------


def test_format_1_of_network_files_is_read() -> None:
    saved = gn.load(DATA / "network-format-1.safetensors")
    assert [type(layer).__name__ for layer in saved.net.layers] == [
        "Dense",
        "BatchNorm",
        "Dropout",
        "LayerNorm",
        "Dense",
    ]
    assert (saved.net.n_inputs, saved.net.layers[0].activation, saved.net.layers[2].rate) == (2, "elu", 0.25)
    np.testing.assert_array_equal(saved.theta, np.arange(saved.net.n_parameters) / 8)
    np.testing.assert_array_equal(saved.state, saved.net.init_state() + 0.5)
    assert saved.metadata == {"data": "moons"}


def test_format_1_of_checkpoints_is_read() -> None:
    found = checkpoints.newest(DATA)
    assert found is not None
    assert (found.epoch, found.content["engine"], found.content["rule"]) == (3, "numpy", "Adam")
    assert found.content["standing"]["theta"].shape == (17,)


def test_the_first_pipeline_files_are_read() -> None:
    pipeline = load_pipeline(DATA / "pipeline-1.skops")
    X = np.linspace(-1, 1, 24).reshape(12, 2)
    expected = [0.6038661377446586, 0.6220752198294721, 0.6399463542761246]
    np.testing.assert_allclose(pipeline.predict_proba(X[:3])[:, 1], expected, rtol=1e-12)


# ---- pickles run nothing ------------------------------------------------------------------------------------------


class Trap:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("read", [gn.load, load_pipeline, read_table, lambda path: checkpoints.newest(path.parent)])
def test_a_pickle_runs_nothing(tmp_path: Path, read: Any) -> None:
    for name in ("checkpoint-00000001.safetensors", "m.skops", "m.safetensors", "t.csv", "t.parquet", "t.jsonl"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
        with pytest.raises(GlassnetError):
            read(tmp_path / name)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("place", ["array", "schema", "beside"])
def test_a_pickle_inside_a_pipeline_runs_nothing(tmp_path: Path, place: str) -> None:
    trace, path = tmp_path / "trace", tmp_path / "m.skops"
    trap = io.BytesIO()
    np.save(trap, np.array([Trap(trace)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(io.BytesIO(files.whole("pipeline"))) as old, zipfile.ZipFile(path, "w") as new:
        arrays = [name for name in old.namelist() if name.endswith(".npy")]
        assert arrays
        for name in old.namelist():
            content = old.read(name)
            if place == "array" and name in arrays:
                content = trap.getvalue()
            if place == "schema" and name == "schema.json":
                content = pickle.dumps(Trap(trace))
            new.writestr(name, content)
        if place == "beside":
            new.writestr("model.pkl", pickle.dumps(Trap(trace)))
    if place == "beside":
        load_pipeline(path)  # nobody reads it
    else:
        with pytest.raises(GlassnetError, match="must be a pipeline written by save_pipeline"):
            load_pipeline(path)
    assert not trace.exists()


# ---- claims -------------------------------------------------------------------------------------------------------


def test_a_bomb_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassnet.table_files.MOST_BYTES", 100_000)
    packed = gzip.compress(b"a,b\n" + b"0,0\n" * 100_000)
    (tmp_path / "t.csv.gz").write_bytes(packed)
    with pytest.raises(
        GlassnetError, match=rf"100,000 bytes when unpacked, received more, packed into {len(packed):,}"
    ):
        read_table(tmp_path / "t.csv.gz")
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * 1000))
    assert len(read_table(tmp_path / "u.csv.gz")) == 1000


def test_a_bomb_of_repetitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"a": np.zeros(10_000), "b": np.zeros(10_000)}).to_parquet(tmp_path / "t.parquet")
    assert len(read_table(tmp_path / "t.parquet")) == 10_000
    monkeypatch.setattr("glassnet.table_files.MOST_CELLS", 19_999)
    with pytest.raises(GlassnetError, match="at most 19,999 cells, received 20,000"):
        read_table(tmp_path / "t.parquet")


def test_a_pipeline_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.skops").write_bytes(files.whole("pipeline"))
    monkeypatch.setattr("glassnet.persistence.MOST_BYTES", 1000)
    with pytest.raises(GlassnetError, match="at most 1,000 bytes when unpacked"):
        load_pipeline(tmp_path / "m.skops")


@pytest.mark.parametrize("size", [2**20, 2**40, 2**62, 2**64 - 1])
def test_huge_claims_cost_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b"{" * 100)
    with pytest.raises(GlassnetError, match="must be a safetensors file"):
        gn.load(path)
    about = {"format": 1, "network": {"n_inputs": size, "layers": [{"layer": "Dense", "units": size}]}, "metadata": {}}
    path.write_bytes(sealed.seal(about, {"W1": np.zeros((2, 1)), "b1": np.zeros(1)}))
    with pytest.raises(GlassnetError):
        gn.load(path)


# ---- cases that the fuzzer has found ------------------------------------------------------------------------------


def test_an_archive_whose_directory_lies_about_places(tmp_path: Path) -> None:
    """zipfile raises a bare ValueError: negative seek value."""
    data = bytearray(files.whole("pipeline"))
    end = data.rindex(b"PK\x05\x06")
    data[end + 16 : end + 20] = (int.from_bytes(data[end + 16 : end + 20], "little") + 5000).to_bytes(4, "little")
    (tmp_path / "m.skops").write_bytes(data)
    with pytest.raises(GlassnetError, match="must be a skops file"):
        load_pipeline(tmp_path / "m.skops")


def test_a_pipeline_whose_array_is_empty(tmp_path: Path) -> None:
    """NumPy raises a bare EOFError: No data left in file."""
    with zipfile.ZipFile(io.BytesIO(files.whole("pipeline"))) as old, zipfile.ZipFile(tmp_path / "m.skops", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"" if name.endswith(".npy") else old.read(name))
    with pytest.raises(GlassnetError, match="must be a pipeline written by save_pipeline, received EOFError"):
        load_pipeline(tmp_path / "m.skops")


def test_an_archive_whose_part_has_a_name_of_many_lines(tmp_path: Path) -> None:
    """Its damage is said with its name; atheris found that this took several lines."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a\nb\r" + "c" * 5000, b"content")
    (tmp_path / "m.skops").write_bytes(made.getvalue().replace(b"content", b"CONTENT"))
    with pytest.raises(GlassnetError, match="must be a skops file, received a damaged one") as caught:
        load_pipeline(tmp_path / "m.skops")
    assert "\n" not in str(caught.value)
    assert "\r" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_errors_stay_short(tmp_path: Path) -> None:
    about = {"format": 1, "network": {"n_inputs": 2, "layers": [{"layer": "a" * 9999}]}, "metadata": {}}
    (tmp_path / "m").write_bytes(sealed.seal(about, {"W1": np.zeros((2, 1))}))
    with pytest.raises(GlassnetError, match=r"unknown layer 'aaa") as caught:
        gn.load(tmp_path / "m")
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"index_columns": 3}', '{"index_columns": ["no"], "columns": [1]}'])
def test_parquet_whose_notes_for_pandas_are_wrong(tmp_path: Path, text: str) -> None:
    table = pa.table({"a": [1.0, 2.0]}).replace_schema_metadata({"pandas": text})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    try:
        frame = read_table(tmp_path / "t.parquet")
    except GlassnetError:
        return  # a bit flip cannot be told from a foreign writer: either answer is right
    assert frame["a"].tolist() == [1.0, 2.0]


def test_parquet_whose_notes_for_pandas_rename_its_columns(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0], "b": [2.0]}).to_parquet(tmp_path / "t.parquet")
    table = pa.parquet.read_table(tmp_path / "t.parquet")
    notes = json.loads(table.schema.metadata[b"pandas"])
    notes["columns"][1]["name"] = "a"
    pa.parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(notes)}), tmp_path / "t.parquet")
    with pytest.raises(GlassnetError, match="with different column names, received 'a' twice"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("door", "seed"), [("files", 113494), ("files", 136361), ("files", 308828), ("tables", 100262)]
)
def test_cases_that_escaped(door: str, seed: int) -> None:
    """Empty arrays in an archive, a Pipeline without steps, equal names in Parquet."""
    assert fuzz.one(door, seed) == "refused"


def test_names_of_columns_with_line_breaks_are_listed_on_one_line(tmp_path: Path) -> None:
    """Case 7001433 of tables; a row, so the frame is read and the unknown target is answered with all names."""
    (tmp_path / "t.csv").write_text('a,"b\nc",d\n1,2,3\n')
    with pytest.raises(GlassnetError, match=r"unknown target column 'no': .*Known: a, b c, d\.$"):
        split_target(read_table(tmp_path / "t.csv"), "no")
    assert fuzz.one("tables", 7001433) == "right"


def test_a_pipeline_without_steps(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(files.whole("pipeline"))) as old, zipfile.ZipFile(tmp_path / "m.skops", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                assert schema["content"]["content"].pop("steps")
                content = json.dumps(schema).encode()
            new.writestr(name, content)
    with pytest.raises(GlassnetError, match="must be a Pipeline with steps"):
        load_pipeline(tmp_path / "m.skops")


def test_whole_numbers_without_end() -> None:
    X: Any = np.array([[10**400, 1], [2, 3]], dtype=object)
    with pytest.raises(GlassnetError, match="X and y must be numbers that a float can hold"):
        gn.MLPRegressor(max_iter=1).fit(X, [1.0, 2.0])


def test_the_only_class_is_certain() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = gn.MLPClassifier((3,), max_iter=1, random_state=0).fit(np.eye(3), ["a"] * 3)
    assert model.predict(np.eye(3)).tolist() == ["a"] * 3
    assert model.predict_proba(np.eye(3)).tolist() == [[1.0]] * 3


def test_json_that_is_deep(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("[" * 100_000)
    with pytest.raises(GlassnetError, match="one JSON object a line"):
        read_table(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text(json.dumps({"a": 1}) + "\n")
    assert read_table(tmp_path / "t.jsonl")["a"].tolist() == [1]
