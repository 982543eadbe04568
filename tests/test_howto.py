"""The examples of the documentation run."""
import json
import re

import numpy as np
import pandas as pd
import pytest

import notebooks as nbs

DOCS = nbs.ROOT/'docs'
PAGES = [DOCS/'index.md', *sorted((DOCS/'howto').glob('*.md'))]


def write_cohort(folder, gaps):
    """Write a cohort of two tables, and return the tables and the labels."""
    rng = np.random.default_rng(0)
    samples = [f'P{i:02}' for i in range(60)]
    classes = np.arange(60) % 3
    labels = pd.Series(np.array(['a', 'b', 'c'])[classes], samples, name='label')
    tables = {}
    for name, columns in dict(mRNA=12, protein=8).items():
        values = rng.normal(size=(60, columns)) + 2*rng.normal(size=(3, columns))[classes]
        names = [f'{name}{j}' for j in range(columns)]
        tables[name] = pd.DataFrame(values, samples, names)
    tables['protein'] = tables['protein'].drop(index=samples[:gaps])
    folder.mkdir()
    for name, table in dict(tables, labels=labels.to_frame()).items():
        turned = folder.name == 'turned' and name == 'mRNA'
        (table.T if turned else table).rename_axis('sample').to_csv(folder/f'{name}.csv')
    return tables, labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder as the pages assume it."""
    write_cohort(tmp_path/'turned', 0)
    write_cohort(tmp_path/'gaps', 6)
    tables, labels = write_cohort(tmp_path/'plain', 0)
    rows = {name: table.T.to_dict() for name, table in tables.items()}
    content = dict(tables=rows, labels=labels.to_dict())
    (tmp_path/'cohort.json').write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_examples_run(page, folder, warm_dask):
    from bmm.balance.registry import METHODS
    text = page.read_text(encoding='utf-8')
    if 'import distributed' in text or 'from distributed' in text:
        pytest.importorskip('distributed', reason='pip install -e ".[cluster]"')
    before = dict(METHODS)
    namespace = dict(__name__='__main__')
    try:
        for block in re.findall(r'```python\n(.*?)```', text, re.DOTALL):
            exec(block, namespace)
    finally:
        METHODS.clear()
        METHODS.update(before)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_names_exist(page):
    """Every dotted name of the package on a page exists."""
    import importlib
    for name in set(re.findall(r'`(bmm(?:\.\w+)+)', page.read_text(encoding='utf-8'))):
        parts = name.split('.')
        found = importlib.import_module('bmm')
        for number, part in enumerate(parts[1:], 2):
            if not hasattr(found, part):
                importlib.import_module('.'.join(parts[:number]))
            found = getattr(found, part)
