"""Every notebook in the fast profile on difficult cohorts.

This takes half an hour, so it is not part of `make test`. Run it by
`.venv/bin/pytest -n 2 tests/difficult_cohorts.py`.
"""
import numpy as np
import pandas as pd
import pytest
from test_notebooks import NOTEBOOKS, run


def table(rng, y, strength, columns=20):
    """Gaussian features with class means that differ."""
    noise = rng.normal(size=(len(y), columns))
    return noise + strength*rng.normal(size=(y.max()+1, columns))[y]


def few(rng):
    """29 patients, five of them in the smallest class."""
    y = np.repeat([0, 1, 2], [15, 9, 5])
    return np.array(['x', 'y', 'z'])[y], dict(a=table(rng, y, 1.), b=table(rng, y, .3))


def ten_classes(rng):
    """More classes than most plots have colours, named by integers."""
    y = np.arange(250) % 10
    strengths = dict(strong=1., weak=.2, noise=0.)
    return y, {name: table(rng, y, strength, 30) for name, strength in strengths.items()}


def six_tables(rng):
    """Counts, mutations, a narrow table, a constant column, and odd names of classes."""
    y = np.repeat(np.arange(5), [60, 40, 25, 15, 12])
    mrna = table(rng, y, .8, 300)
    tables = {
        'mRNA': mrna,
        'counts': np.round(np.exp(table(rng, y, .5, 80))),
        'mutations': (table(rng, y, .5, 60) > 1.5).astype(int),
        'copy number': table(rng, y, .2, 40),
        'clinical': table(rng, y, .3, 3),
        'twice': np.c_[mrna[:, :50], np.ones(len(y))],
    }
    return np.array(['a, b', 'c "d"', '2', 'é', 'low-grade'])[y], tables


def two_classes_with_gaps(rng):
    """One class is four times the other, and some patients lack a table."""
    y = np.repeat([0, 1], [80, 20])
    tables = dict(a=table(rng, y, .6), b=table(rng, y, .4))
    tables['a'][[3]] = np.nan
    tables['b'][[7, 95]] = np.nan
    return np.array(['control', 'case'])[y], tables


COHORTS = [few, ten_classes, six_tables, two_classes_with_gaps]


@pytest.fixture(params=COHORTS, ids=lambda make: make.__name__)
def cohort(request, tmp_path):
    """A folder as a user would have it."""
    folder = tmp_path/request.param.__name__
    folder.mkdir()
    labels, tables = request.param(np.random.default_rng(0))
    patients = pd.Index([f'P{i:03}' for i in range(len(labels))], name='sample')
    pd.DataFrame(dict(label=labels), index=patients).to_csv(folder/'labels.csv')
    for name, values in tables.items():
        columns = [f'{name}{j}' for j in range(values.shape[1])]
        frame = pd.DataFrame(values, index=patients, columns=columns)
        frame.dropna(how='all').to_csv(folder/f'{name}.csv')
    return folder


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda nb: nb.stem)
def test_difficult(notebook, cohort, tmp_path):
    run(notebook, str(cohort), tmp_path)
