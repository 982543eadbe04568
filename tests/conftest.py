"""Options and paths of the tests."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]/'docs'))

import notebooks as nbs    # after its folder is known

if nbs.FORKS:    # Dask reads it when it is imported
    os.environ['DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD'] = 'forkserver'


@pytest.fixture
def warm_dask():
    """Workers of Dask are forked from a process in which the libraries are imported."""
    nbs.warm_processes()


def pytest_addoption(parser):
    parser.addoption('--release', action='store_true', help='stale outputs are an error')
