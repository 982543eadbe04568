"""Every notebook runs from top to bottom in the fast profile."""
import pytest

import notebooks as nbs

NOTEBOOKS = nbs.find_notebooks()
# What real data could break first: reading, graphs and training.
REAL = ('cohort', 'readers', 'datasets', 'snf', 'classifier')
SECTIONS = [nb for nb in NOTEBOOKS if nb.stem.partition('_')[2] in REAL]
LIMIT = 600     # seconds that a cell may take


def run(notebook, cohort, folder):
    """Run a notebook in the fast profile, and fail with the cell that fails."""
    figures = folder/'figures'
    figures.mkdir()
    variables = nbs.kernel_variables(figures, cohort)
    failure = nbs.execute(notebook, folder/notebook.name, 'fast', variables, LIMIT)
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
