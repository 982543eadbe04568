"""Every method learns from samples that lack modalities: nothing is made up, no label leaks, and complete cohorts are untouched."""
import warnings

import numpy as np
import pytest
import torch

from bmm.balance.registry import METHODS, make_method
from bmm.core import DataError
from bmm.data.cohort import Cohort
from bmm.data.splits import Folds, Splits
from bmm.data.synthetic import View, synthetic
from bmm.evaluation import check_no_leak, cross_validate
from bmm.models import joint
from bmm.models.custom_encoder import CustomJoint
from bmm.models.joint import Joint
from bmm.models.layers import Network, NoGraph, PartialGraph
from bmm.models.rgcn import PRINTED, RGCN, presence
from bmm.study import Study

NETWORK = {'hidden': (6,), 'epochs': 8, 'patience': 3, 'inner': 2, 'K': 6, 'edges_per_node': 5}
NETWORK |= {'features': 'raw', 'network_features': 'raw', 'lr': .03}


@pytest.fixture(scope='module')
def whole():
    """A cohort of three modalities in which nobody lacks any."""
    views = {name: View(8, label=label, factors=2) for name, label in zip('abc', (2., 1., .5))}
    return synthetic({'x': 16, 'y': 16, 'z': 16}, views, seed=2, name='toy')


def hide(cohort, share, seed=0):
    """Return the cohort without a random share of the rows; every sample keeps one modality."""
    rng = np.random.default_rng(seed)
    tables = cohort.modalities
    has = rng.random((len(tables), len(cohort))) >= share
    lost = ~has.any(0)
    has[rng.integers(len(tables), size=lost.sum()), lost] = True
    kept = {m: table[rows] for (m, table), rows in zip(tables.items(), has)}
    return Cohort(kept, cohort.labels, cohort.name)


@pytest.fixture(scope='module')
def gaps(whole):
    """The same cohort without a third of the rows."""
    return hide(whole, .33)


def network(name, **options):
    """Return a small joint network that is trained by a method."""
    method = make_method(name)
    optimizer = 'sgd' if method.scales_gradients else 'adam'
    return Joint(method=method, optimizer=optimizer, **NETWORK | options)


@pytest.mark.parametrize('name', METHODS)
def test_method_learns_from_gaps(gaps, name):
    """Probabilities are finite, equal for a lone replica, and blind to test labels."""
    folds = Splits(2, 1).split(gaps)
    model = network(name)
    proba = model.fit_predict(gaps, folds)
    assert np.isfinite(proba).all() and np.allclose(proba.sum(2), 1, atol=1e-4)
    alone, _ = model.fit_replicas(gaps, folds, np.array([1]))  # with the same inner folds
    np.testing.assert_allclose(alone['fused'][0], proba[1], atol=1e-3)
    check_no_leak(gaps, model, folds[:1])


@pytest.mark.parametrize('name', METHODS)
def test_full_masks_change_nothing(whole, name, monkeypatch):
    """With masks that are all true, a method gives what it gives without masks."""
    folds = Splits(2, 1).split(whole)[:1]
    model = network(name, epochs=4)
    without = model.fit_predict(whole, folds)
    everybody = np.ones((3, len(whole)), bool)
    monkeypatch.setattr(joint, 'presence', lambda cohort, modalities: everybody)
    np.testing.assert_allclose(model.fit_predict(whole, folds), without, atol=2e-3)


def test_complete_cohorts_use_no_masks(whole, monkeypatch):
    """On a complete cohort no masked graph is made: the computation is the one without masks."""
    def refuse(*arguments):
        raise AssertionError('a complete cohort needs no masks')

    monkeypatch.setattr(PartialGraph, '__init__', refuse)
    folds = Splits(2, 1).split(whole)[:1]
    network('BMM').fit_predict(whole, folds)
    options = {key: value for key, value in NETWORK.items() if key != 'inner'}
    RGCN(('a',), **options).fit_predict(whole, folds)
    with pytest.raises(AssertionError, match='needs no masks'):
        network('BMM').fit_predict(hide(whole, .3), folds)


@pytest.mark.parametrize('head', ['additive', 'multi', 'shared', 'cosine'])
def test_absent_values_are_not_read(head):
    """Neither the features nor the graph carry anything of a sample's absent modality."""
    class Ring:
        """Every sample takes the mean of itself and the next one."""

        def propagate(self, h):
            return (h + h.roll(1, -1)) / 2

    present = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)) < .6
    present[0] |= ~present[1]
    x = [torch.randn(5, 9), torch.randn(5, 9)]
    other = [torch.where(has, values, 99.) for values, has in zip(x, present)]
    for graph, receive in ((Ring(), False), (Ring(), True), (NoGraph(), False)):
        net = Network([5, 5], 3, [1, 2], (4, 4), 0., head).eval()
        for p in net.parameters():
            p.data.add_(.1)
        partial = PartialGraph(graph, present, receive)
        out, changed = net(x, partial), net(other, partial)
        assert torch.equal(out.fused, changed.fused)
        for has, before, after in zip(present, out.uni, changed.uni):
            assert torch.equal(before[..., has], after[..., has])


def test_order_of_samples_does_not_matter(gaps):
    """Without dropout the probabilities move with the samples."""
    order = np.random.default_rng(5).permutation(len(gaps))
    moved = Cohort(gaps.modalities, gaps.labels.iloc[order], gaps.name)
    folds = Splits(2, 1, validation=.3).split(gaps)[:1]
    masks = [mask[:, order] for mask in (folds.train, folds.valid, folds.test)]
    other = Folds(*masks, folds.repeat, folds.fold, moved.samples)
    model = network('BMM', dropout=0., inner=0)
    before = model.fit_predict(gaps, folds)[0]
    np.testing.assert_allclose(model.fit_predict(moved, other)[0], before[order], atol=2e-3)


@pytest.mark.parametrize('mode', ['transductive', 'inductive'])
def test_rgcn_and_joint_in_both_modes(gaps, mode):
    """Networks over own patients, in both modes; single modalities too."""
    options = {key: value for key, value in NETWORK.items() if key != 'inner'}
    folds = Splits(2, 1).split(gaps)
    for model in (RGCN(('c',), mode=mode, **options), network('BMM', mode=mode),
                  RGCN(('b', 'c'), edges='own', mode=mode, **options)):
        assert np.isfinite(model.fit_predict(gaps, folds)).all()
    check_no_leak(gaps, RGCN(('c',), mode=mode, **options), folds[:1])


def test_new_patients_have_any_subset(gaps, whole):
    """A network of a cohort with gaps predicts new samples from what they have."""
    fitted = network('BMM').fit(gaps)
    new = {m: table.add_prefix('new ', axis=0) for m, table in whole.modalities.items()}
    heads = fitted.predict_heads({'a': new['a'][:4], 'b': new['b'][2:6]})
    assert np.allclose(heads['fused'].sum(axis=1), 1, atol=1e-5)
    assert heads['a'].isna().all(axis=1).tolist() == [False] * 4 + [True] * 2
    assert heads['b'].isna().all(axis=1).tolist() == [True] * 2 + [False] * 4
    assert heads['c'].isna().all(axis=None)


def test_heads_are_missing_where_the_modality_is(gaps):
    """The probabilities of a modality's own classifier are NaN for samples that lack it."""
    folds = Splits(2, 1).split(gaps)[:1]
    heads = network('BMM').fit_heads(gaps, folds)
    for m, has in zip(gaps.modalities, presence(gaps, gaps.modalities)):
        assert (np.isfinite(heads[m]).all(2) == has).all()


def test_study_with_gaps(gaps):
    """A study has the simple models that take gaps, and an imputed one that says so."""
    slow = ['logistic regression, a', 'logistic regression, b', 'late fusion, mean', 'random forest']
    study = Study(gaps, {'joint': network('BMM')}, Splits(2, 1), without=slow, inner=2)
    assert 'logistic regression, all, mean imputed' in study.models
    study.run(progress=False)
    assert np.isfinite(study.scores.value).all()


def test_what_is_not_defined_says_so(gaps, whole):
    """A model that cannot use gaps names the modality or the remedy."""
    folds = Splits(2, 1, validation=.3).split(gaps)[:1]
    with pytest.raises(DataError, match='missing for'):
        cross_validate(gaps, CustomJoint(), folds)
    with pytest.raises(DataError, match="renorm='cran'"):
        network('BMM', network=PRINTED).fit_predict(gaps, folds)
    with pytest.raises(DataError, match='have none of c'):
        network('Summation', nodes=('c',)).fit_predict(gaps, folds)
    untaught = {'c': whole.modalities['c'][folds.test[0]]}
    nobody = Cohort(whole.modalities | untaught, whole.labels, whole.name)
    with warnings.catch_warnings(), pytest.raises(DataError, match='no training sample'):
        warnings.simplefilter('ignore')
        network('Summation').fit_predict(nobody, folds)
