"""Comparisons with a plugin, in worker processes and on a cluster."""
import numpy as np
import pandas as pd
import pytest

PLUGIN = '''
from bmm.balance.base import Rival
from sklearn.naive_bayes import GaussianNB


class Half(Rival):
    "Half of the fused loss"

    def loss(self, run, batch, out):
        return super().loss(run, batch, out)/2


bayes = GaussianNB()
'''


@pytest.fixture
def cohort():
    """A small cohort of two tables."""
    from bmm import Cohort
    rng = np.random.default_rng(0)
    samples = [f'P{i:02}' for i in range(36)]
    y = np.arange(36) % 2
    values = rng.normal(size=(2, 36, 5)) + y[:, None]
    tables = {name: pd.DataFrame(table, samples, [f'{name}{j}' for j in range(5)])
              for name, table in zip(('genes', 'proteins'), values)}
    return Cohort(tables, pd.Series(y.astype(str), samples), name='small')


def write_plugin(folder):
    """Write the plugin, and return options of a small comparison with it."""
    file = folder/f'models_of_{folder.name}.py'
    file.write_text(PLUGIN, encoding='utf-8')
    return dict(methods='forest', folds=3, repeats=1, plugins=[file], progress=False)


@pytest.mark.filterwarnings('ignore')
def test_workers_import_a_plugin(cohort, tmp_path):
    from bmm.comparison import compare_models
    options = write_plugin(tmp_path)
    alone = compare_models(cohort, n_jobs=1, **options)
    assert sorted(alone.ranking.model) == ['Half', 'bayes', 'forest']
    together = compare_models(cohort, n_jobs=2, **options)
    pd.testing.assert_frame_equal(together.study.scores, alone.study.scores)


@pytest.mark.filterwarnings('ignore')
def test_a_cluster_gets_a_plugin(cohort, tmp_path, warm_dask):
    from bmm.comparison import compare_models
    distributed = pytest.importorskip('distributed', reason='pip install -e ".[cluster]"')
    options = write_plugin(tmp_path)
    alone = compare_models(cohort, n_jobs=1, **options)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1,
                                  dashboard_address=None) as cluster:
        remote = compare_models(cohort, scheduler=cluster.scheduler_address, **options)
    pd.testing.assert_frame_equal(remote.study.scores, alone.study.scores)


@pytest.mark.filterwarnings('ignore')
def test_samples_that_lack_a_table_are_compared_on(cohort):
    """All models predict all samples, and the order of the files does not matter."""
    from bmm import Cohort
    from bmm.comparison import compare_models
    tables = cohort.modalities
    tables['proteins'] = tables['proteins'].iloc[:24]
    gaps = Cohort(tables, cohort.labels, 'gaps')
    turned = Cohort({m: tables[m][::-1] for m in reversed(tables)}, cohort.labels[::-1], 'gaps')
    options = dict(methods='LR best modality,LR all,joint', folds=3, repeats=1,
                   n_jobs=1, progress=False)
    found = compare_models(gaps, **options)
    assert set(found.study.scores.n_test) == {12}
    again = compare_models(turned, **options)
    pd.testing.assert_frame_equal(again.study.scores, found.study.scores)
