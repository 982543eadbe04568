"""Every notebook in the fast profile on difficult cohorts. It takes ten minutes, so it is not part of `make test`.

Run it by `pytest -n 2 tests/awkward.py`.
"""
import numpy as np, pandas as pd, pytest
from test_notebooks import NOTEBOOKS, run


def table(g, y, strength, columns=20):
    "Gaussian features that shift with the class"
    return g.normal(size=(len(y), columns)) + strength*g.normal(size=(y.max()+1, columns))[y]


def few(g):
    "29 patients, five of them in the smallest class"
    y = np.repeat([0, 1, 2], [15, 9, 5])
    return np.array(['x', 'y', 'z'])[y], dict(a=table(g, y, 1.), b=table(g, y, .3))


def ten_classes(g):
    "More classes than most plots have colours, named by integers"
    y = np.arange(250) % 10
    return y, dict(strong=table(g, y, 1., 30), weak=table(g, y, .2, 30), noise=table(g, y, 0., 30))


def six_tables(g):
    "Counts, mutations, a narrow table, a constant column, classes of unequal size with odd names"
    y = np.repeat(np.arange(5), [60, 40, 25, 15, 12])
    mrna = table(g, y, .8, 300)
    return np.array(['a, b', 'c "d"', '2', 'é', 'low-grade'])[y], dict(
        mRNA=mrna, counts=np.round(np.exp(table(g, y, .5, 80))), mutations=(table(g, y, .5, 60) > 1.5).astype(int), **{'copy number': table(g, y, .2, 40)},
        clinical=table(g, y, .3, 3), twice=np.c_[mrna[:, :50], np.ones(len(y))])


def two_classes_with_gaps(g):
    "One class four times the other; some patients lack a table"
    y = np.repeat([0, 1], [80, 20])
    tables = dict(a=table(g, y, .6), b=table(g, y, .4))
    return np.array(['control', 'case'])[y], {m: np.where(np.isin(np.arange(len(y)), missing)[:, None], np.nan, tables[m]) for m, missing in (('a', [3]), ('b', [7, 95]))}


@pytest.fixture(params=[few, ten_classes, six_tables, two_classes_with_gaps], ids=lambda make: make.__name__)
def cohort(request, tmp_path):
    "A folder as a user would have it"
    folder = tmp_path/request.param.__name__
    folder.mkdir()
    labels, tables = request.param(np.random.default_rng(0))
    patients = pd.Index([f'P{i:03}' for i in range(len(labels))], name='sample')
    pd.DataFrame(dict(label=labels), index=patients).to_csv(folder/'labels.csv')
    for name, values in tables.items():
        pd.DataFrame(values, index=patients, columns=[f'{name}{j}' for j in range(values.shape[1])]).dropna(how='all').to_csv(folder/f'{name}.csv')
    return folder


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda nb: nb.stem)
def test_awkward(notebook, cohort, tmp_path): run(notebook, str(cohort), tmp_path)
