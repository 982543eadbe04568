"""Sample and class weights count in every loss, by scikit-learn's conventions."""
import warnings

import numpy as np
import pandas as pd
import pytest
from test_models import TINY, make_tables


def fit_weighted(weight=None, tables=None, labels=None, **options):
    """Return a small classifier that was fitted with weights."""
    from bmm.classifier import BalancedClassifier

    own_tables, own_labels = make_tables()
    tables = own_tables if tables is None else tables
    labels = own_labels if labels is None else labels
    return BalancedClassifier(**{**TINY, **options}).fit(tables, labels, weight)


def method_names():
    """Return the names of all methods."""
    from bmm.balance.registry import METHODS

    return list(METHODS)


@pytest.mark.parametrize('method', method_names())
def test_no_method_ignores_weights(method):
    weight = np.where(np.arange(40) % 2, 1., 5.)
    tables, _ = make_tables()
    options = dict(method=method, fusion='network')    # the logistic regressions are tested below
    plain, weighted = (fit_weighted(w, **options) for w in (None, weight))
    assert (plain.predict_proba(tables) != weighted.predict_proba(tables)).any()
    equal = fit_weighted(np.full(40, 3.), **options)
    np.testing.assert_array_equal(equal.predict_proba(tables), plain.predict_proba(tables))


@pytest.mark.parametrize('options', [
    dict(fusion='held-out'), dict(method='BMM'), dict(neighbour_weight=0.)], ids=str)
def test_balanced_equals_the_weights_of_scikit_learn(options):
    from sklearn.utils.class_weight import compute_sample_weight

    tables, labels = make_tables()
    kept = labels.index[:30].append(labels.index[30::2])
    tables = {m: table.loc[kept] for m, table in tables.items()}
    labels = labels[kept]
    weight = pd.Series(compute_sample_weight('balanced', labels), kept)
    balanced = fit_weighted(None, tables, labels, class_weight='balanced', **options)
    by_sample = fit_weighted(weight[::-1], tables, labels, **options)
    np.testing.assert_allclose(balanced.predict_proba(tables), by_sample.predict_proba(tables),
                               atol=1e-6)


def test_a_fusion_with_weights_comes_back_from_its_file(tmp_path):
    from bmm.classifier import load_classifier

    tables, _ = make_tables()
    clf = fit_weighted(np.arange(40), fusion='held-out')
    loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
    for given in (tables, {'genes': tables['genes']}):
        np.testing.assert_allclose(loaded.predict_proba(given), clf.predict_proba(given),
                                   atol=1e-5)


def test_kinds_of_weights():
    tables, labels = make_tables()
    weight = np.arange(40.)
    expected = fit_weighted(weight).predict_proba(tables)
    by_id = pd.Series(weight, labels.index)
    for given in (list(weight), by_id, by_id[::-1], dict(by_id), by_id.astype(object)):
        np.testing.assert_array_equal(fit_weighted(given).predict_proba(tables), expected)


def test_samples_without_a_modality():
    tables, labels = make_tables()
    tables['proteins'] = tables['proteins'].iloc[5:]
    by_id = pd.Series(np.arange(40.), labels.index)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        clf = fit_weighted(by_id, tables)
        with pytest.raises(ValueError, match='give sample_weight as a Series by sample id'):
            fit_weighted(by_id.to_numpy(), tables)
        by_id.iloc[5:] = 0
        with pytest.raises(ValueError, match='have modality 2 have weight 0'):
            fit_weighted(by_id, tables)
    assert np.isfinite(clf.predict_proba(tables)).all()


def test_one_table_by_id_and_by_position():
    from bmm.classifier import side_by_side

    tables, labels = make_tables()
    table, groups = side_by_side(tables)
    by_id = pd.Series(np.arange(40.), labels.index)
    fits = [fit_weighted(weight, table, labels, modalities=groups)
            for weight in (by_id, by_id[::-1], by_id.to_numpy())]
    for clf in fits[1:]:
        np.testing.assert_array_equal(clf.predict_proba(table), fits[0].predict_proba(table))
    with pytest.raises(ValueError, match=r'the weights are of .*sample_weight\.to_numpy\(\)'):
        fit_weighted(by_id.add_prefix('x'), table, labels, modalities=groups)


@pytest.mark.parametrize('weight, fault', [
    (np.full(40, -1.), 'patient-000, patient-001, .* is -1.0'), ([1.]*39, r'shape \(39,\)'),
    (np.zeros(40), 'all weights are zero'), (np.arange(40) % 2, 'of one class only'),
    ({'patient-001': 1}, '39 samples without a weight'), (['a']*40, 'is no number'),
    (np.ones((40, 1)), r'shape \(40, 1\)'), ([np.nan] + [1.]*39, 'of patient-000 is nan')])
def test_weights_that_are_refused(weight, fault):
    from bmm.core import DataError

    with pytest.raises(DataError, match=fault):
        fit_weighted(weight)


@pytest.mark.parametrize('given', [
    {True: 3, False: .5}, {7: 3, -1: .5}, {1.: 2}, {'ä': np.float32(2)}, 'balanced'], ids=str)
def test_class_weights_in_a_file(given, tmp_path):
    from bmm.classifier import load_classifier

    pairs = dict(bool=(True, False), int=(7, -1), float=(1., 2.), str=('ä', 'b'))
    kind = 'str' if isinstance(given, str) else type(next(iter(given))).__name__
    tables, labels = make_tables()
    own = np.array([pairs[kind][label == 'ill'] for label in labels])
    clf = fit_weighted(None, tables, own, class_weight=given)
    loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
    assert loaded.class_weight == given
    np.testing.assert_allclose(loaded.predict_proba(tables), clf.predict_proba(tables),
                               atol=1e-5)


def uneven_cohort(gaps=False):
    """Return a cohort of 20 and 10 samples, of which five may lack a table."""
    from bmm import Cohort

    tables, labels = make_tables()
    kept = labels.index[labels == 'well'].append(labels.index[labels == 'ill'][:10])
    tables = {m: table.loc[kept] for m, table in tables.items()}
    if gaps:
        tables['proteins'] = tables['proteins'].drop(kept[::6])
    return Cohort(tables, labels[kept], 'uneven')


def networks():
    """Return networks of three kinds."""
    from bmm.balance.registry import METHODS
    from bmm.models.fusion import with_fusion
    from bmm.models.joint import Joint

    sizes = dict(hidden=(4,), epochs=4, inner=2, K=6, edges_per_node=4)
    models = {name: Joint(method=METHODS[name](), **sizes) for name in ('BMM', 'IBML')}
    return models | {'stacked': with_fusion(Joint(**sizes), linear=True, penalties=(1.,))}


@pytest.mark.filterwarnings('ignore')
def test_class_weights_of_a_study_reach_every_model():
    from bmm.data.splits import Splits
    from bmm.study import Study

    cohort, shares = uneven_cohort(gaps=True), {}
    fold = Splits(3, 1).split(cohort)[:1]
    ill = list(cohort.classes).index('ill')
    for weight in (1, 20):
        study = Study(cohort, networks(), fold, budget=1, inner=2,
                      class_weight={'ill': weight}).run(progress=False)
        tested = study.folds.test
        shares[weight] = {name: study.probabilities(name)[tested][:, ill]
                          for name in study.models}
    assert len(shares[1]) == 10
    for name, share in shares[1].items():
        assert np.abs(shares[20][name] - share).max() > .001, name
        if name != 'gradient boosting':    # pure leaves have the same classes
            assert shares[20][name].mean() > share.mean() + .01, name


def test_class_weights_of_a_study_are_those_of_the_training_fold():
    from bmm.data.splits import Splits
    from bmm.evaluation import check_no_leak
    from bmm.study import weighted, weights_of_rows

    cohort = uneven_cohort()
    fold = Splits(3, 1).split(cohort)[:1]
    y, [rows] = cohort.y.copy(), fold.fit
    before = weights_of_rows('balanced', y, rows)
    y[~rows] = 0
    np.testing.assert_array_equal(weights_of_rows('balanced', y, rows), before)
    for model in networks().values():
        check_no_leak(cohort, weighted(model, 'balanced'), fold)


@pytest.mark.filterwarnings('ignore')
def test_weights_of_one_leave_networks_as_they_are():
    """Replicas alone give what they give together."""
    from bmm.data.splits import Splits
    from bmm.study import Study

    cohort = uneven_cohort()
    folds = Splits(3, 1).split(cohort)[:2]
    studies = [Study(cohort, networks(), folds, simple=False, class_weight=weight,
                     search=dict(weight_decay=[.05, .2])).run(progress=False)
               for weight in (None, {'ill': 1})]
    for name in studies[0].models:
        np.testing.assert_allclose(*[study.probabilities(name) for study in studies], atol=1e-5)
    np.testing.assert_array_equal(*[study.chosen['number'] for study in studies])


@pytest.mark.parametrize('given, fault', [
    ({'sick': 2}, 'the classes are ill, well'), ('equal', 'balanced'), (2, "give 'balanced'"),
    ({'ill': -1}, '0 or more'), ({'ill': 0}, 'two classes'), ({'ill': np.inf}, 'finite')], ids=str)
def test_class_weights_that_a_study_refuses(given, fault):
    from bmm.core import DataError
    from bmm.study import Study

    with pytest.raises(DataError, match=fault):
        Study(uneven_cohort(), networks(), class_weight=given)


def test_models_without_class_weights_are_named():
    from sklearn.neighbors import KNeighborsClassifier

    from bmm.core import DataError
    from bmm.models.joint import Joint
    from bmm.study import Study

    for model, fault in ((KNeighborsClassifier(), 'KNeighborsClassifier takes no class weights'),
                         (Joint(inner=0), 'inner=3')):
        with pytest.raises(DataError, match=fault):
            Study(uneven_cohort(), {'own': model}, class_weight='balanced')
