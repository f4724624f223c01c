"""Neighbours and probe against scikit-learn, rank and deviation against what can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from simmim_mm.evaluation import feature_std, fit_linear_probe, knn_classify, rankme
from simmim_mm.evaluation import nearest_neighbours as neighbours


@pytest.fixture(scope='module')
def clusters():
    """Features of 5 classes that overlap: 200 to learn from, 90 to test on, of 12 numbers."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 12))
    labels, asked = rng.integers(5, size=200), rng.integers(5, size=90)
    scales = np.linspace(0.5, 20, 12)
    bank, queries = ((centres[each] + 1.3 * rng.normal(size=(len(each), 12))) * scales for each in (labels, asked))
    return tuple(torch.from_numpy(each) for each in (bank, labels, queries, asked))


@pytest.mark.parametrize('k', [1, 7, 20, 1000])
@pytest.mark.parametrize('temperature', [0.02, 0.07, 1.0])
def test_neighbours_equal_scikit_learns(clusters, k, temperature, monkeypatch):
    """Whose distances are 1 - cosine, with the same weights; in several pieces."""
    bank, labels, queries, _ = clusters
    monkeypatch.setattr(neighbours, 'CHUNK', 13 * len(bank))
    theirs = KNeighborsClassifier(
        min(k, 200), metric='cosine', weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(bank.numpy(), labels.numpy())
    assert knn_classify(bank, labels, queries, k, temperature).tolist() == theirs.predict(queries.numpy()).tolist()


def test_neighbours_by_hand():
    """Two neighbours at 0.9 outvote one at 0.95 at a high temperature, and not at a low one."""
    angles = torch.tensor([0.95, 0.9, 0.9, -1.0]).acos()
    bank = 7 * torch.stack([angles.cos(), angles.sin()], dim=1)  # lengths do not count
    labels, query = torch.tensor([1, 0, 0, 2]), torch.tensor([[3.0, 0.0]])
    assert knn_classify(bank, labels, query, k=3, temperature=1.0).tolist() == [0]  # 2 e^0.9 > e^0.95
    assert knn_classify(bank, labels, query, k=3, temperature=0.01).tolist() == [1]  # 2 e^90 < e^95
    assert knn_classify(bank, labels, query, k=1).tolist() == [1]


@pytest.mark.parametrize('c', [0.01, 1.0, 30.0])
@pytest.mark.parametrize('num_classes', [2, 5])
def test_the_probe_has_scikit_learns_optimum(clusters, c, num_classes):
    bank, labels, queries, _ = clusters
    chosen = labels < num_classes
    bank, labels = bank[chosen], labels[chosen]
    probe = fit_linear_probe(bank, labels, c, max_iters=5000, tolerance=1e-8)
    assert probe.converged
    mean, std = bank.numpy().mean(axis=0), bank.numpy().std(axis=0)
    # Of two classes scikit-learn fits one weight vector; its penalty is that of two which are half as long.
    theirs = LogisticRegression(C=2 * c if num_classes == 2 else c, tol=1e-9, max_iter=5000)
    theirs.fit((bank.numpy() - mean) / std, labels.numpy())
    found = (queries.numpy() - mean) / std
    ours = ((torch.from_numpy(found) @ probe.weight.T) + probe.bias).softmax(dim=1)
    assert np.allclose(ours.numpy(), theirs.predict_proba(found), atol=1e-5)
    assert probe.classify(queries).tolist() == theirs.predict(found).tolist()


def test_the_default_tolerance_is_enough(clusters):
    """The same classes as at the optimum; a channel that does not vary does no harm."""
    bank, labels, queries, asked = clusters
    padded = [torch.cat([each, torch.full((len(each), 1), 3.0)], dim=1) for each in (bank, queries)]
    probe = fit_linear_probe(padded[0].float(), labels)
    exact = fit_linear_probe(bank, labels, max_iters=5000, tolerance=1e-9)
    assert probe.converged
    assert (probe.classify(padded[1]) == exact.classify(queries)).float().mean() > 0.98
    assert (probe.classify(padded[1]) == asked).float().mean() > 0.5


def test_the_rank_by_hand():
    """Equal singular values count in full; of 3 and 1 it is exp(-(3/4 ln 3/4 + 1/4 ln 1/4)) = 4 / 3 ** 0.75."""
    rotation, _ = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64))
    assert rankme(5 * rotation[:, :7]) == pytest.approx(7, rel=1e-4)
    assert rankme(rotation[:, :2] * torch.tensor([3.0, 1.0])) == pytest.approx(4 / 3**0.75, rel=1e-5)
    assert rankme(torch.ones(30, 1) @ torch.randn(1, 20)) == pytest.approx(1, abs=1e-3)
    assert math.isnan(rankme(torch.zeros(4, 3)))


def test_the_rank_equals_the_formula():
    """Written with NumPy's singular values; scale does not count."""
    features = np.random.default_rng(1).normal(size=(50, 30)) * np.linspace(0.01, 3, 30)
    share = np.linalg.svd(features, compute_uv=False)
    share = share / share.sum()
    expected = np.exp(-(share * np.log(share)).sum())
    assert rankme(torch.from_numpy(features)) == pytest.approx(expected, rel=1e-4)
    assert rankme(torch.from_numpy(1e3 * features)) == pytest.approx(expected, rel=1e-4)


def test_the_deviation_of_features():
    """0 of equal features, whatever their lengths; about 1 of directions that are spread evenly."""
    assert feature_std(torch.arange(1.0, 9)[:, None] @ torch.randn(1, 16)) == pytest.approx(0, abs=1e-6)
    assert feature_std(torch.randn(20000, 64)) == pytest.approx(1, abs=0.02)
    assert feature_std(torch.tensor([[2.0, 0.0], [-2.0, 0.0]])) == pytest.approx(0.5 * 2**0.5)  # deviations 1 and 0
