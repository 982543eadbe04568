"""A study gives the same bytes wherever it runs and however often it is stopped."""
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

import notebooks as nbs

NO_DASK = 'Dask is not installed: pip install -e ".[cluster]"'


def declare(store):
    """Return a study of 18 pieces that take about a tenth of a second each."""
    from sklearn.ensemble import RandomForestClassifier

    from bmm.data.splits import Splits
    from bmm.data.synthetic import View, synthetic
    from bmm.evaluation import Baseline
    from bmm.models.joint import Joint
    from bmm.study import Study

    views = {'strong': View(30, label=2.0, factors=3), 'weak': View(20, label=.7, factors=3)}
    cohort = synthetic({'a': 16, 'b': 12, 'c': 12}, views, seed=1, name='toy')
    models = {'forest': RandomForestClassifier(12), 'LR': Baseline('lr'),
              'joint': Joint(hidden=(6,), epochs=8, inner=2, network_features='raw')}
    search = {'forest': dict(max_depth=[2, 5, None]), 'LR': dict(penalty=[1., 10.])}
    return Study(cohort, models, Splits(3, 2), search, simple=False, store=store, block=2)


def files(folder):
    """Return name and content of the results in a folder."""
    return {path.name: path.read_bytes() for path in Path(folder).glob('*.parquet')}


def times(folder):
    """Return name and time of writing of the results in a folder."""
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).glob('*.parquet')}


def same(study, sequential):
    """Compare two studies byte by byte."""
    assert files(study.store.folder) == files(sequential.store.folder)
    pd.testing.assert_frame_equal(study.scores, sequential.scores, check_exact=True)
    pd.testing.assert_frame_equal(study.chosen, sequential.chosen, check_exact=True)


@pytest.fixture(scope='module')
def sequential(tmp_path_factory):
    """The study as one process computes it."""
    study = declare(tmp_path_factory.mktemp('sequential')).run(progress=False)
    assert len(files(study.store.folder)) == len(study.pieces) == 18
    return study


def start_run(store):
    """Return a process that computes the study."""
    process = nbs.warm_processes().Process(target=run_alone, args=(store,))
    process.start()
    return process


def run_alone(store):
    declare(store).run(progress=False)


@pytest.fixture
def client(warm_dask):
    """A client of a Dask cluster with two workers, each a process."""
    distributed = pytest.importorskip('distributed', reason=NO_DASK)
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                                   dashboard_address=None) as cluster,
          distributed.Client(cluster) as client):
        yield client


def test_processes_give_the_same_bytes(sequential, tmp_path):
    same(declare(tmp_path).run(n_jobs=2, progress=False), sequential)


def test_dask_gives_the_same_bytes_if_each_worker_is_killed(
        sequential, tmp_path, client, monkeypatch):
    import joblib

    from bmm.data.cohort import Cohort

    study = declare(tmp_path)
    first, second = client.run(os.getpid).values()
    assert first != second
    victims = {3: first, 9: second}    # number of results -> process
    write, copies = study.store.write, []

    def kill_sometimes(*arguments):
        write(*arguments)
        victim = victims.pop(len(files(tmp_path)), None)
        if victim:
            os.kill(victim, signal.SIGKILL)

    def count(cohort):
        copies.append(1)
        return vars(cohort)

    monkeypatch.setattr(study.store, 'write', kill_sometimes)
    monkeypatch.setattr(Cohort, '__getstate__', count, raising=False)
    with joblib.parallel_config('dask'):
        study.run(progress=False)
    monkeypatch.undo()
    assert not victims
    assert not {first, second} & set(client.run(os.getpid).values())
    assert len(copies) < 6, f'The cohort was sent {len(copies)} times for 18 pieces.'
    same(study, sequential)


def test_killed_process_resumes(sequential, tmp_path):
    process = start_run(tmp_path)
    deadline = time.monotonic() + 120
    while len(files(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(.02)
    process.kill()
    process.join()
    before = times(tmp_path)
    assert 3 <= len(before) < 18
    study = declare(tmp_path).run(progress=False)
    after = times(tmp_path)
    assert all(after[name] == written for name, written in before.items())
    same(study, sequential)


def test_two_runs_share_a_store(sequential, tmp_path):
    other = start_run(tmp_path)
    study = declare(tmp_path).run(progress=False)
    other.join()
    assert other.exitcode == 0
    same(study, sequential)
    assert list(tmp_path.rglob('*.tmp')) == []
