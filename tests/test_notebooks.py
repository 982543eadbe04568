"Every notebook runs from top to bottom in its fast profile, on a cohort that is always there and, if it is here, on the paper's."
from pathlib import Path
import pytest
from bmm.core import DataError
from bmm.cohort import find_tcga
from bmm.reproduce import check_parameters, find_notebooks, kernel_environment, run_notebook

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = find_notebooks(ROOT)
SECTIONS = [nb for nb in NOTEBOOKS if nb.stem in ('01_cohort', '04_snf', '13_classifier')]    # what real data could break first: reading, networks, training


def run(notebook, cohort, folder):
    check_parameters(notebook)
    with kernel_environment(ROOT, folder/'figures', cohort):
        failure = run_notebook(notebook, folder/notebook.name, 'fast', timeout=600)
    if failure: pytest.fail(str(failure), pytrace=False)


def paper_cohort():
    "Why the paper's cohort cannot be read, or nothing"
    try: found = find_tcga()
    except DataError as e: return str(e)
    return '' if found else "the paper's cohort is not here: `bmm data get tcga-brca` fetches it, or BMM_DATA names a folder that holds it"


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda nb: nb.stem)
def test_synthetic(notebook, tmp_path): run(notebook, 'synthetic', tmp_path)


@pytest.mark.skipif(bool(paper_cohort()), reason=paper_cohort())
@pytest.mark.parametrize('notebook', SECTIONS, ids=lambda nb: nb.stem)
def test_paper_cohort(notebook, tmp_path): run(notebook, 'tcga-brca', tmp_path)
