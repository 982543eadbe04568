"""Every notebook runs from top to bottom in the fast profile.

Importing the libraries takes longer than most notebooks. Each notebook runs in a process that is
forked from one in which they are already imported. `docs/notebooks.py` starts kernels instead.
"""
import multiprocessing
import os
import tempfile
from functools import lru_cache
from multiprocessing import forkserver
from pathlib import Path

import pytest

import notebooks as nbs

NOTEBOOKS = nbs.find_notebooks()
# What real data could break first: reading, graphs and training.
REAL = ('cohort', 'readers', 'datasets', 'snf', 'classifier')
SECTIONS = [nb for nb in NOTEBOOKS if nb.stem.partition('_')[2] in REAL]

PRELOADED = [
    'torch', 'captum.attr', 'snf.compute', 'networkx', 'sklearn.ensemble',
    'sklearn.experimental', 'scipy.stats', 'seaborn', 'matplotlib_inline.backend_inline',
    'fastcore.test', 'execnb.shell', 'notebooks', 'bmm.comparison', 'bmm.cli',
]
LIMIT = 600     # seconds that a notebook may take


def run_cells(notebook: Path, variables: dict, connection):
    """Run a notebook in this process, and send the description of a failure."""
    from execnb.nbio import read_nb
    from execnb.shell import CaptureShell

    os.environ.update(variables)
    os.chdir(notebook.parent)
    tempfile.tempdir = None     # read TMPDIR again
    shell = CaptureShell(notebook, mpl_format='png')
    for number, cell in enumerate(read_nb(notebook).cells):
        shell.cell(cell)
        if cell.cell_type == 'code' and shell.exc is not None:
            reason = f'{type(shell.exc).__name__}: {shell.exc}'
            connection.send(nbs.failure_text(notebook.stem, number, cell.source, reason))
            return
        if 'parameters' in cell.metadata.get('tags', []):
            shell.run("profile = 'fast'")
    connection.send('')


@lru_cache
def warm_processes():
    """Return the way to start processes in which the libraries are imported, where there is one."""
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    path = os.pathsep.join([str(nbs.ROOT), str(nbs.ROOT/'docs')])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**nbs.kernel_variables('', ''), 'PYTHONPATH': path}.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return context


def run(notebook, cohort, folder):
    """Run a notebook in the fast profile, and fail with the cell that fails."""
    nbs.check_parameters(notebook)
    figures = folder/'figures'
    figures.mkdir()
    private = dict(TMPDIR=str(folder), IPYTHONDIR=str(folder))
    variables = {**nbs.kernel_variables(figures, cohort), **private}
    context = warm_processes()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_cells, args=(notebook, variables, sender))
    process.start()
    sender.close()
    try:
        failure = 'It took too long.'
        if receiver.poll(LIMIT):
            failure = receiver.recv()
    except EOFError:
        failure = 'The process died, probably out of memory.'
    finally:
        process.kill()
        process.join()
    if failure:
        pytest.fail(failure, pytrace=False)


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda nb: nb.stem)
def test_synthetic(notebook, tmp_path):
    run(notebook, 'synthetic', tmp_path)


@pytest.mark.parametrize('notebook', SECTIONS, ids=lambda nb: nb.stem)
def test_paper_cohort(notebook, tmp_path):
    if not nbs.find_paper_cohort():
        pytest.skip('The cohort of the paper is not here. Get it by `bmm data get tcga-brca`.')
    run(notebook, nbs.PAPER_COHORT, tmp_path)
