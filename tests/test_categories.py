"""A table with categories is a modality like any other."""
import warnings

import numpy as np
import pandas as pd
import pytest
from test_models import TINY, make_tables


def make_clinical(n=40, seed=0):
    """Return the tables with a clinical one, whose stage follows the label, and the labels."""
    tables, labels = make_tables(n, seed)
    rng = np.random.default_rng(seed)
    ill = (labels == 'ill').to_numpy()
    tables['clinical'] = pd.DataFrame(dict(
        age=rng.normal(60, 10, n), smoker=rng.random(n) < .5,
        stage=np.where(ill & (rng.random(n) < .9), rng.choice(['II', 'III'], n), 'I'),
        grade=pd.Categorical(rng.integers(1, 4, n))), labels.index)
    return tables, labels


def fit_encoded(tables, labels, **options):
    """Return a small classifier that encodes categories."""
    from bmm.classifier import BalancedClassifier

    clf = BalancedClassifier(**{**TINY, **dict(categories='encode')}, **options)
    return clf.fit(tables, labels)


def test_encoded_by_hand_is_the_same(tmp_path):
    from bmm.classifier import load_classifier

    tables, labels = make_clinical()
    clf = fit_encoded(tables, labels)
    by_hand = dict(tables, clinical=pd.get_dummies(
        tables['clinical'].astype(dict(stage=object)), columns=['stage', 'grade'],
        prefix_sep='='))
    expected = fit_encoded(by_hand, labels).predict_proba(by_hand)
    np.testing.assert_array_equal(clf.predict_proba(tables), expected)
    assert any('clinical: 2 columns of categories' in note for note in clf.notes_)
    file = clf.save(tmp_path/'model.bmm', keep_tables=True)
    loaded = load_classifier(file)
    np.testing.assert_allclose(loaded.predict_proba(tables), expected, atol=1e-5)
    assert loaded.save(tmp_path/'again.bmm', keep_tables=True).read_bytes() == file.read_bytes()


@pytest.mark.parametrize('kind', ['object', 'str', 'category', 'string'])
def test_types_of_text(kind):
    tables, labels = make_clinical()
    expected = fit_encoded(tables, labels).predict_proba(tables)
    tables['clinical'] = tables['clinical'].astype(dict(stage=kind))
    np.testing.assert_array_equal(fit_encoded(tables, labels).predict_proba(tables), expected)


@pytest.mark.parametrize('missing', ['error', 'leave-out', 'median', 'neighbours'])
def test_missing_categories_follow_the_rule(missing):
    from bmm.core import DataError

    tables, labels = make_clinical()
    tables['clinical'].loc['patient-003', 'stage'] = None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        if missing == 'error':
            with pytest.raises(DataError, match=r'clinical: 3 values NaN .*patient-003'):
                fit_encoded(tables, labels)
            return
        clf = fit_encoded(tables, labels, missing=missing)
        assert np.isfinite(clf.predict_proba(tables)).all()
    table = clf.tables_['clinical']
    if missing == 'leave-out':
        assert 'patient-003' not in table.index
        return
    shares = table.loc['patient-003', [name for name in table if name.startswith('stage=')]]
    if missing == 'median':
        assert set(shares) <= {0, 1}
    else:
        assert abs(shares.sum() - 1) < 1e-5 and (shares > -1e-6).all()


def test_an_unknown_category_is_named():
    tables, labels = make_clinical()
    clf = fit_encoded(tables, labels)
    new = {'clinical': tables['clinical'].iloc[:3].assign(stage=['I', 'X', 'I'])}
    with pytest.warns(UserWarning, match="clinical: column stage has 'X', which no training"):
        clf.predict_proba(new)


def test_a_table_with_features_in_rows():
    tables, labels = make_clinical()
    expected = fit_encoded(tables, labels)
    turned = dict(tables, clinical=tables['clinical'].T)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        clf = fit_encoded(turned, labels)
        assert set(clf.tables_['clinical']) >= {'stage=I', 'age'}
        np.testing.assert_allclose(expected.predict_proba(turned),
                                   expected.predict_proba(tables), atol=1e-6)


def test_what_is_refused():
    from bmm.classifier import BalancedClassifier
    from bmm.core import DataError

    tables, labels = make_clinical()
    with pytest.raises(DataError, match=r"categories='encode'"):
        BalancedClassifier(**TINY).fit(tables, labels)
    with pytest.raises(DataError, match="categories = 'drop'"):
        BalancedClassifier(categories='drop').fit(tables, labels)
    with pytest.raises(DataError, match='Columns stage, grade are no numbers'):
        fit_encoded(tables['clinical'], labels)
    named = tables['clinical'].assign(name=labels.index)
    with pytest.raises(DataError, match='column name occurs twice'):
        fit_encoded(dict(tables, clinical=named), labels)
