"""Prediction sets have the stated coverage, also from a file."""
import numpy as np
import pandas as pd
import pytest
from test_models import fit, make_tables


@pytest.fixture(scope='module')
def clf():
    return fit()


def test_sets_by_hand(clf):
    new, _ = make_tables(12, seed=1)
    new['proteins'] = new['proteins'].iloc[3:]
    scores = 1 - clf.held_out_['fused'].to_numpy()[np.arange(40), clf.y_]
    threshold = np.sort(scores)[33 - 1]         # 41 * .8 = 32.8
    expected = 1 - clf.predict_proba(new) <= threshold
    found = clf.prediction_sets(new, coverage=.8)
    np.testing.assert_array_equal(found, expected)
    assert list(found.columns) == list(clf.classes_)
    assert set(found.index) == set(new['genes'].index)
    assert (found.dtypes == bool).all()


def test_a_larger_coverage_gives_larger_sets(clf):
    new, _ = make_tables(60, seed=1)
    sizes = [clf.prediction_sets(new, coverage).sum(axis=1) for coverage in (.5, .7, .9, .97)]
    for smaller, larger in zip(sizes, sizes[1:]):
        assert (smaller <= larger).all()


def test_the_same_sets_after_reading(clf, tmp_path):
    from bmm.classifier import load_classifier
    from bmm.core import DataError
    from bmm.model_files import read_model, write_model

    new, _ = make_tables(30, seed=2)
    file = clf.save(tmp_path/'model.bmm')
    pd.testing.assert_frame_equal(load_classifier(file).prediction_sets(new),
                                  clf.prediction_sets(new))
    content, arrays = read_model(file)
    scores = arrays.pop('calibration scores')
    assert (np.diff(scores) >= 0).all() and len(scores) == 40
    older = load_classifier(write_model(tmp_path/'older.bmm', content, arrays))
    with pytest.raises(DataError, match='written by an earlier version: fit again'):
        older.prediction_sets(new)


def test_coverages_that_are_refused(clf):
    from bmm.core import DataError

    new, _ = make_tables(3, seed=1)
    for wrong in (0, 1, 90, -.1, '90%', None, float('nan')):
        with pytest.raises(DataError, match='coverage is'):
            clf.prediction_sets(new, wrong)
    with pytest.warns(UserWarning, match='40 training samples: too few for a coverage of 0.98'):
        assert clf.prediction_sets(new, .98).all(axis=None)


def test_sets_of_one_table_and_fewer_fits(clf):
    from bmm.classifier import BalancedClassifier, side_by_side

    tables, labels = make_tables()
    table, groups = side_by_side(tables)
    one = BalancedClassifier(modalities=groups, **{name: clf.get_params()[name] for name in (
        'epochs', 'seeds', 'inner', 'K', 'components')}).fit(table, labels)
    new, _ = make_tables(12, seed=1)
    assert one.prediction_sets(side_by_side(new)[0]).shape == (12, 2)
