"""Random cohorts, files, options and model files give a result or a sentence, and nothing else.

The examples are the same in every run. For a longer search with other examples set the number of
examples of each test, and a seed to repeat it:
`FUZZ=2000 .venv/bin/pytest tests/test_fuzz.py --hypothesis-seed=1 --hypothesis-show-statistics`.
"""
import os
import warnings
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get('FUZZ', 0))
TINY = dict(epochs=2, seeds=1, inner=2, K=3, components=2, edges_per_node=2, patience=1)


def fuzz(examples):
    """Settings of a test: `examples` in `make test`, and as many as `FUZZ` says by hand."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def result_or_sentence(function):
    """Return what a function returns, or None if it refuses with a sentence."""
    from bmm.core import DataError

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        try:
            return function()
        except DataError as error:
            sentence = str(error)
            assert len(sentence) > 20 and sentence.rstrip()[-1] in '.:)', sentence
            return None


IDS = st.one_of(
    st.integers(-2, 10**6),
    st.sampled_from(['TCGA-A1-A0SB', 'TCGA.A1.A0SB.01A', 'NA', '', ' p1', 'p1', '1', '1.0', None]),
    st.text(max_size=6),
)
NAMES = st.one_of(st.sampled_from(['mRNA', 'CNV', 'fused', 'a$b$c', '=x', '<img>']), st.text(max_size=5))
CELLS = st.one_of(
    st.floats(-5, 5),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, True, None, '1,5', 'NA', '', 'abc', 10**12, 1e8, 1e300]),
)
LABELS = st.one_of(
    st.sampled_from(['ill', 'well', 'ill ', 'NA', '', None, 0, 1, 0.0, 1.5, True, float('nan')]),
    st.integers(-3, 3),
)


@st.composite
def clean_or_odd(draw, odd, clean, n):
    """A list of `n` values: clean ones, in which a few may be odd."""
    values = list(clean)
    for place in draw(st.lists(st.integers(0, max(n-1, 0)), max_size=2)) if n else []:
        values[place] = draw(odd)
    return values


@st.composite
def cohorts(draw):
    """Tables and labels, most of them usable but for a few odd places."""
    n = draw(st.integers(0, 14))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    ids = draw(clean_or_odd(IDS, [f'p{i}' for i in range(n)], n))
    labels = draw(clean_or_odd(LABELS, [('ill', 'well')[i % 2] for i in range(n)], n))
    tables = {}
    for name in draw(st.lists(NAMES, min_size=0, max_size=3, unique=True)):
        d = draw(st.integers(0, 5))
        values = rng.normal(size=(n, d)) * 10.0**draw(st.integers(-3, 6))
        table = pd.DataFrame(values, ids, draw(clean_or_odd(IDS, [f'g{j}' for j in range(d)], d)))
        if n and d and draw(st.booleans()):
            table = table.astype(object)
            table.iat[draw(st.integers(0, n-1)), draw(st.integers(0, d-1))] = draw(CELLS)
        present = rng.random(n) > draw(st.sampled_from([0, 0, .3, .9]))
        table = table[present].iloc[rng.permutation(present.sum())]
        tables[name] = table.T if draw(st.integers(0, 9)) == 0 else table
    return tables, pd.Series(labels, ids, dtype=object)


@fuzz(40)
@given(cohorts())
def test_cohorts(drawn):
    """A classifier is fitted and predicts probabilities, or says why not."""
    from bmm.classifier import BalancedClassifier

    tables, labels = drawn
    clf = result_or_sentence(lambda: BalancedClassifier(**TINY).fit(tables, labels))
    if clf is not None:
        p = np.asarray(clf.predict_proba(tables))
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        assert set(clf.predict(tables)) <= set(clf.classes_)


@fuzz(60)
@given(cohorts(), st.sampled_from([',', ';', '\t', ' ', '|']), st.sampled_from(['utf-8', 'utf-16', 'latin-1']))
def test_folders(tmp_path_factory, drawn, separator, encoding):
    """Every folder of tables is a cohort, or says why not."""
    from bmm.data.datasets import load_cohort

    folder = tmp_path_factory.mktemp('cohort')
    tables, labels = drawn
    for number, (name, table) in enumerate(tables.items()):
        readable = ''.join(c for c in name if c.isalnum()) or f'table{number}'
        text = table.to_csv(sep=separator)
        (folder/f'{readable}.csv').write_bytes(text.encode(encoding, 'replace'))
    text = labels.rename('label').to_csv(sep=separator)
    (folder/'labels.csv').write_bytes(text.encode(encoding, 'replace'))
    cohort = result_or_sentence(lambda: load_cohort(folder))
    if cohort is not None:
        assert len(cohort) == len(cohort.y) and len(cohort.classes) >= 1


VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 2, 2.5, 1e-12, 10**6, float('inf'), float('nan'), True, None, '2', 'pca', ()]),
    st.integers(-5, 50),
    st.floats(allow_nan=True, allow_infinity=True),
)


@pytest.fixture(scope='module')
def small():
    """A cohort of 24 patients and two tables."""
    from bmm.data.cohort import Cohort

    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    tables = {
        name: pd.DataFrame(rng.normal(size=(24, d)) + y[:, None], [f'p{i}' for i in range(24)])
        for name, d in (('mRNA', 5), ('CNV', 3))
    }
    for name, table in tables.items():
        table.columns = [f'{name}{j}' for j in range(table.shape[1])]
    return Cohort(tables, pd.Series(np.where(y, 'ill', 'well'), table.index))


def declared(name):
    """A class whose options are drawn, and those that are kept small."""
    from bmm.data.splits import Splits
    from bmm.graph.snf import FusionOptions
    from bmm.models.joint import Joint
    from bmm.models.rgcn import RGCN

    return {
        'RGCN': (RGCN, dict(nodes=('mRNA',), epochs=2, K=5, components=2, ae_epochs=2)),
        'Joint': (Joint, dict(epochs=2, K=5, components=2, inner=2)),
        'Splits': (Splits, dict(folds=2, repeats=1)),
        'FusionOptions': (FusionOptions, {}),
    }[name]


NUMBERS = (
    'K', 'edges_per_node', 'neighbour_weight', 'dropout', 'lr', 'weight_decay', 'epochs', 'patience',
    'seeds', 'seed', 'inner', 'components', 'ae_epochs', 'hidden', 'folds', 'repeats', 'validation',
    'steps', 'alpha', 'tol',
)
LARGEST = dict(epochs=3, ae_epochs=3, seeds=2, repeats=2, inner=3, steps=30)  # for time only


@pytest.mark.parametrize('name', ['RGCN', 'Joint', 'Splits', 'FusionOptions'])
@fuzz(25)
@given(data=st.data())
def test_options(small, name, data):
    """An option of any value is used or refused, and finite input gives finite probabilities."""
    from bmm.data.splits import Splits

    cls, options = declared(name)
    chosen = data.draw(st.sampled_from([f.name for f in fields(cls) if f.name in NUMBERS]))
    value = data.draw(VALUES)
    if isinstance(value, (int, float)) and value > LARGEST.get(chosen, np.inf) and np.isfinite(value):
        value = LARGEST[chosen]
    model = result_or_sentence(lambda: cls(**options | {chosen: value}))
    if model is None or name == 'FusionOptions':
        return
    if name == 'Splits':
        result_or_sentence(lambda: model.split(small))
        return
    folds = Splits(2, 1).split(small)
    p = result_or_sentence(lambda: model.fit_predict(small, folds))
    if p is not None and not (chosen == 'lr' and value > .1):  # a large step may diverge
        assert np.isfinite(p).all()


@pytest.fixture(scope='module')
def saved(small, tmp_path_factory):
    """The bytes of a model file, and what the model predicts."""
    from bmm.classifier import BalancedClassifier

    clf = BalancedClassifier(**TINY).fit(small)
    file = tmp_path_factory.mktemp('model')/'model.bmm'
    clf.save(file)
    return file.read_bytes(), np.asarray(clf.predict_proba(small.modalities))


@fuzz(60)
@given(data=st.data())
def test_model_files(saved, small, tmp_path_factory, data):
    """A changed model file is refused, or predicts what it did."""
    from bmm.classifier import load_classifier

    content, expected = saved
    changed = bytearray(content)
    place = data.draw(st.integers(0, len(content)-1))
    way = data.draw(st.sampled_from(['flip', 'cut', 'insert', 'overwrite']))
    if way == 'flip':
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
    elif way == 'cut':
        del changed[place:]
    elif way == 'insert':
        changed[place:place] = data.draw(st.binary(min_size=1, max_size=20))
    else:
        new = data.draw(st.binary(min_size=1, max_size=20))
        changed[place:place+len(new)] = new
    file = tmp_path_factory.mktemp('changed')/'model.bmm'
    file.write_bytes(changed)
    clf = result_or_sentence(lambda: load_classifier(file))
    if clf is not None:
        np.testing.assert_array_equal(np.asarray(clf.predict_proba(small.modalities)), expected)
