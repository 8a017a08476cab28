"""estimators/autoencoder.py: the 8-3-8 problem, principal components, and scikit-learn's contract of transformers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from glassnet import Autoencoder
from glassnet.errors import GlassnetError
from glassnet.persistence import load_pipeline, save_pipeline

X = scale(load_iris().data)
LINEAR: dict[str, Any] = {"activation": "identity", "solver": "lbfgs", "alpha": 0.0, "tol": 1e-7, "max_iter": 5000}
SMALL: dict[str, Any] = {"hidden_layer_sizes": (6, 2, 5), "activation": "tanh", "random_state": 0}
SMALL |= {"learning_rate_init": 0.01, "max_iter": 2000, "tol": 1e-3}


@parametrize_with_checks([Autoencoder((3,), learning_rate_init=0.02, max_iter=3000, tol=1e-3, random_state=0)])
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("seed", range(5))
def test_eight_three_eight(seed: int) -> None:
    """Rumelhart, Hinton and Williams 1986: eight patterns pass through three units."""
    patterns = np.eye(8)
    model = Autoencoder((3,), "logistic", loss="binary_cross_entropy", alpha=0.0, learning_rate_init=0.05)
    model.set_params(max_iter=3000, n_iter_no_change=50, random_state=seed).fit(patterns)
    code = model.transform(patterns)
    assert code.shape == (8, 3)
    assert ((code >= 0) & (code <= 1)).all()
    assert (model.inverse_transform(code).argmax(axis=1) == np.arange(8)).all()
    assert model.out_activation_ == "logistic"


def test_a_linear_autoencoder_finds_the_principal_plane() -> None:
    """Baldi and Hornik 1989: the best linear code spans the first principal components."""
    pca = PCA(2).fit(X)
    model = Autoencoder((2,), random_state=0, **LINEAR).fit(X)
    best = X - pca.inverse_transform(pca.transform(X))
    np.testing.assert_allclose(model.reconstruction_error(X), np.square(best).mean(axis=1), atol=1e-4)
    assert model.loss_ == pytest.approx(0.5 * np.square(best).mean(), rel=1e-6)
    assert model.score(X) == pytest.approx(-np.square(best).mean(), rel=1e-6)
    np.testing.assert_array_equal(model.score_samples(X), -model.reconstruction_error(X))
    strange = model.score_samples(np.array([[4.0, 4.0, -4.0, 4.0]]))[0]
    assert strange < model.score_samples(X).min()


@pytest.mark.parametrize("norm", [{}, {"batch_norm": True}, {"layer_norm": True, "dropout": 0.1}], ids=str)
def test_the_two_halves_are_the_network(norm: dict[str, Any]) -> None:
    model = Autoencoder(**SMALL, **norm).fit(X)
    code = model.transform(X)
    np.testing.assert_allclose(code, model.activations(X, 2))
    np.testing.assert_allclose(model.inverse_transform(code), model.activations(X, -1), rtol=1e-10)
    error = np.square(model.inverse_transform(code) - X).mean(axis=1)
    np.testing.assert_allclose(model.reconstruction_error(X), error, rtol=1e-9)
    deep = clone(model).set_params(code_layer=1).fit(X)
    assert deep.transform(X).shape == (150, 6)
    np.testing.assert_allclose(deep.inverse_transform(deep.transform(X)), deep.activations(X, -1), rtol=1e-10)


def test_weights_stand_for_rows() -> None:
    weights = np.arange(150) % 3
    model = Autoencoder((1,), random_state=0, **LINEAR | {"alpha": 1.0})
    one, other = clone(model).fit(X, None, weights), clone(model).fit(X.repeat(weights, axis=0))
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-9)
    assert one.score(X, None, weights) == pytest.approx(other.score(X.repeat(weights, axis=0)), rel=1e-4)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_early_stopping_on_rows_of_your_own(solver: str) -> None:
    model = Autoencoder(solver=solver, early_stopping=True, **SMALL)
    model.fit(X[::2], X_val=X[1::2])
    assert model.best_validation_score_ == pytest.approx(model.score(X[1::2]))
    assert {"validation_loss", "validation_score"} <= set(model.history_.columns)
    weights = np.r_[np.ones(40), np.zeros(35)]
    model.fit(X[::2], X_val=X[1::2], sample_weight_val=weights)
    assert model.best_validation_score_ == pytest.approx(model.score(X[1::2][:40]))


def test_going_on() -> None:
    model = Autoencoder(**SMALL)
    losses = [model.partial_fit(X).loss_ for _ in range(20)]
    assert losses[-1] < losses[0]
    assert model.t_ == 20 * 150
    assert not hasattr(Autoencoder(solver="lbfgs"), "partial_fit")


def test_in_scikit_learns_company(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = Autoencoder(**SMALL).set_output(transform="pandas")
    code = model.fit_transform(frame)
    assert list(code.columns) == ["autoencoder0", "autoencoder1"] == list(model.get_feature_names_out())
    loose = Autoencoder(**SMALL).fit(sparse.csr_matrix(X))
    np.testing.assert_allclose(loose.transform(sparse.csr_matrix(X)), code)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(frame), code)
    pipeline = make_pipeline(StandardScaler(), Autoencoder(**SMALL)).fit(X)
    save_pipeline(tmp_path / "pipeline.skops", pipeline)
    np.testing.assert_array_equal(load_pipeline(tmp_path / "pipeline.skops").transform(X), pipeline.transform(X))
    assert cross_val_score(Autoencoder(**SMALL), X, cv=3).max() < 0.0
    assert "Autoencoder: 4 inputs, 4 outputs" in repr(model.summary())


def test_wrong_arguments_are_named() -> None:
    for change, message in (
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must be at least one layer, the code"),
        ({"code_layer": 4}, "code_layer must be from 1 to 3, the number of hidden layers, received 4"),
        ({"code_layer": True}, "code_layer must be None or a whole number"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
    ):
        with pytest.raises(GlassnetError, match=message):
            Autoencoder(**SMALL | change).fit(X)
    with pytest.raises(NotFittedError):
        Autoencoder().transform(X)
    with pytest.raises(GlassnetError, match=r"X must be codes \(m, 2\), as transform gives them, received \(150, 4\)"):
        Autoencoder(**SMALL).fit(X).inverse_transform(X)
    with pytest.raises(GlassnetError, match="sample_weight_val needs the rows"):
        Autoencoder().fit(X, sample_weight_val=np.ones(3))


def test_the_code_is_that_of_the_fit() -> None:
    """Arguments that are set afterwards belong to the next one."""
    model = Autoencoder(**SMALL).fit(X)
    code, names = model.transform(X), model.get_feature_names_out()
    model.set_params(hidden_layer_sizes=(4,), code_layer=1)
    np.testing.assert_array_equal(model.transform(X), code)
    assert list(model.get_feature_names_out()) == list(names)
    assert model.inverse_transform(code).shape == X.shape
    assert model.partial_fit(X).code_layer_ == 2
    assert model.fit(X).transform(X).shape == (150, 4)
