"""Hashes, runs, README and documentation sources."""
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import notebooks as nbs
import pages
import staleness

CODE = '''
def double(x):
    "Twice a number"
    return 2*x
'''
REWORDED = '''
# A comment
def double(
    x,  # A number
):
    """Two times a number."""
    return 2 * x
'''


def test_hash_ignores_prose():
    assert staleness.normalised(CODE) == staleness.normalised(REWORDED)
    assert staleness.normalised(CODE) != staleness.normalised(CODE.replace('2', '3'))


def test_hash_accepts_magics():
    assert 'run_line_magic' in staleness.normalised('%matplotlib inline')


def test_imports_are_resolved():
    file = staleness.ROOT/'bmm'/'models'/'x.py'
    tree = staleness.parse('from ..core import DataError\nfrom .layers import a\nimport bmm.report')
    names = {'bmm.core', 'bmm.core.DataError', 'bmm.models.layers', 'bmm.models.layers.a'}
    assert staleness.dotted_names(tree, file) == names | {'bmm.report'}
    assert staleness.dotted_names(staleness.parse('bmm.SNF()'), None) == {'bmm.SNF'}


def test_only_imported_modules_count():
    found = staleness.modules_behind('from bmm.core import DataError')
    assert found == [staleness.ROOT/'bmm'/'core.py']
    assert staleness.lazy_names()['bmm.SNF'] == 'bmm.graph.snf'


def test_shown_results_are_as_old_as_their_notebooks():
    found = {notebook.stem: notebook for notebook in nbs.find_notebooks()}
    claims, index = found['81_tutorial_paper'], found['index']
    behind = {notebook.stem for notebook in staleness.results_behind(claims)}
    assert {'19_rgcn_experiments', '22_comparison'} <= behind
    assert not behind & {'29_benchmarks', '81_tutorial_paper', 'index'}
    assert claims in staleness.results_behind(index)
    assert staleness.results_behind(found['06_rgcn']) == []


def test_cohort_hash_is_its_content(tmp_path):
    (tmp_path/'labels.csv').write_text('sample,label\na,0\n')
    first = staleness.folder_hash.__wrapped__(tmp_path)
    os.utime(tmp_path/'labels.csv', (0, 0))
    assert staleness.folder_hash.__wrapped__(tmp_path) == first
    (tmp_path/'labels.csv').write_text('sample,label\na,1\n')
    assert staleness.folder_hash.__wrapped__(tmp_path) != first


def write_notebook(path, *sources):
    parameters = new_code_cell("profile = 'full'", metadata=dict(tags=['parameters']))
    nb = new_notebook(cells=[new_markdown_cell('# Title\n> Claim')])
    nb.cells += [parameters, *[new_code_cell(source) for source in sources]]
    nbformat.write(nb, path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in a folder of its own."""
    monkeypatch.setattr(nbs.Run, 'folder', property(lambda self: tmp_path/'run'))
    return nbs.Run('synthetic', 'fast')


SAVE = ('import os, pathlib\n'
        "folder = pathlib.Path(os.environ['BMM_FIGURES'])\n"
        "(folder/'{}.csv').write_text(profile)")


def test_failure_keeps_earlier_output(run, tmp_path):
    notebook = write_notebook(tmp_path/'00_x.ipynb', SAVE.format('first'))
    assert run.execute(notebook) == ''
    assert (run.figures/'first.csv').read_text() == 'fast'
    assert run.is_current(notebook)
    before = run.output(notebook).read_bytes()

    write_notebook(notebook, SAVE.format('first'), '1/0')
    assert 'ZeroDivisionError' in run.execute(notebook)
    assert run.output(notebook).read_bytes() == before
    assert (run.figures/'first.csv').exists()

    write_notebook(notebook, SAVE.format('second'))
    assert run.execute(notebook) == ''
    assert not (run.figures/'first.csv').exists()
    assert (run.figures/'second.csv').exists()


def test_second_run_waits_for_the_first(run, tmp_path):
    log = tmp_path/'log'
    code = f"import time; time.sleep(1); print(1, file=open({str(log)!r}, 'a'))"
    notebook = write_notebook(tmp_path/'00_x.ipynb', code)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run.execute, [notebook]*2)) == ['', '']
    assert log.read_text() == '1\n'


def test_folders_of_killed_runs_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(nbs.tempfile, 'gettempdir', lambda: str(tmp_path))
    killed = subprocess.Popen([sys.executable, '-c', ''])
    killed.wait()
    alive, dead = tmp_path/f'{nbs.BOX}a', tmp_path/f'bmm{killed.pid}-a'
    alive.mkdir()
    dead.mkdir()
    nbs.remove_orphans()
    assert alive.exists() and not dead.exists()


DODO = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {docs!r}]
import notebooks as nbs

nbs.remove_orphans()
nbs.PRELOADED[:] = ['notebooks', 'ipykernel.kernelapp', 'ipykernel.ipkernel']
folder = Path(__file__).parent
nbs.Run.folder = property(lambda self: folder/'run')


def execute(name):
    failure = nbs.Run('synthetic', 'fast').execute(folder/name)
    print(failure)
    return not failure


def task_notebooks():
    for name in ('00_finished.ipynb', '01_running.ipynb'):
        yield dict(name=name, actions=[(execute, [name])])


def task_nothing():
    return dict(actions=[])
"""
LONG_CELL = """
import os, pathlib, subprocess, sys, time
worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
numbers = pathlib.Path('numbers.part')
numbers.write_text(f'{os.getpid()} {worker.pid}')
numbers.rename('numbers')
time.sleep(600)
"""


def wait_for(condition, limit=120):
    """Return whether a condition comes true within some seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(.05)
    return condition()


def is_running(process):
    """Whether a process computes; one that nobody has waited for has ended too."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not nbs.FORKS, reason='kernels are forked')
def test_a_killed_run_ends_its_kernels_and_keeps_what_is_finished(tmp_path):
    dodo = tmp_path/'dodo.py'
    dodo.write_text(DODO.format(root=str(nbs.ROOT), docs=str(nbs.ROOT/'docs')))
    write_notebook(tmp_path/'00_finished.ipynb', '1')
    write_notebook(tmp_path/'01_running.ipynb', LONG_CELL)
    boxes = tmp_path/'t'    # short: the path of a socket has at most 107 bytes
    boxes.mkdir()
    command = [sys.executable, '-m', 'doit', '-f', str(dodo)]
    started = dict(cwd=tmp_path, env={**os.environ, 'TMPDIR': str(boxes)})
    with open(tmp_path/'log', 'w') as log:
        doit = subprocess.Popen([*command, 'notebooks'], stdout=log, stderr=log, **started)
    family = []
    try:
        numbers = tmp_path/'numbers'
        assert wait_for(lambda: numbers.exists() or doit.poll() is not None)
        assert numbers.exists(), (tmp_path/'log').read_text()
        family = psutil.Process(doit.pid).children(recursive=True)
        assert {int(pid) for pid in numbers.read_text().split()} <= {p.pid for p in family}
        doit.kill()
        doit.wait()
        assert wait_for(lambda: not any(map(is_running, family)))
    finally:
        doit.kill()
        for process in filter(is_running, family):
            process.kill()
    assert nbs.read_stamp(tmp_path/'run'/'00_finished.ipynb')['profile'] == 'fast'
    assert not (tmp_path/'run'/'01_running.ipynb').exists()
    assert [box for box in boxes.iterdir() if box.name.startswith(f'bmm{doit.pid}-')]
    subprocess.run([*command, 'nothing'], check=True, capture_output=True, **started)
    assert not [box for box in boxes.iterdir() if box.name.startswith(f'bmm{doit.pid}-')]


def test_readers_of_results_get_the_tables_of_their_run(run, tmp_path, monkeypatch):
    copy = "(folder/'sum.csv').write_text((folder/'first.csv').read_text() + '!')"
    code = SAVE.format('own') + chr(10) + copy
    assert run.execute(write_notebook(tmp_path/'00_x.ipynb', SAVE.format('first'))) == ''
    monkeypatch.setattr(staleness, 'results_behind', lambda notebook: [])
    assert 'FileNotFoundError' in run.execute(write_notebook(tmp_path/'82_y.ipynb', code))
    claims = write_notebook(tmp_path/'81_tutorial_paper.ipynb', code)
    assert run.execute(claims) == ''
    assert (run.figures/'sum.csv').read_text() == 'fast!'
    assert nbs.read_stamp(run.output(claims))['files'] == ['own.csv', 'sum.csv']


def test_parameters_cell_is_required(tmp_path):
    path = tmp_path/'00_x.ipynb'
    nbformat.write(new_notebook(cells=[new_code_cell('1')]), path)
    with pytest.raises(ValueError, match='0 cells with the tag'):
        nbs.check_parameters(path)


def test_outputs_are_normalised(tmp_path):
    notebook = write_notebook(tmp_path/'00_x.ipynb', '1')
    executed = nbformat.read(notebook, 4)
    injected = new_code_cell('', metadata=dict(tags=['injected-parameters']))
    executed.cells.insert(2, injected)
    noise = new_output('stream', name='stderr', text='warning')
    executed.cells[-1].outputs = [noise, new_output('stream', name='stdout', text='1')]
    nb = nbs.with_outputs(nbformat.read(notebook, 4), executed, dict(profile='full'))
    assert [out.name for out in nb.cells[-1].outputs] == ['stdout']
    executed.cells[-1].source = '2'
    with pytest.raises(ValueError, match='has changed'):
        nbs.with_outputs(nbformat.read(notebook, 4), executed, {})


def test_links_start_from_the_top():
    text = '[a](01_x.ipynb) [b](../LICENSE) [c](https://d.org) [e](#f)'
    moved = '[a](nbs/01_x.ipynb) [b](LICENSE) [c](https://d.org) [e](#f)'
    assert pages.relink(text) == moved
    assert pages.broken_links('[b](LICENSE) [n](none.md) [c](https://d.org)') == ['none.md']


def test_set_up_is_one_fold():
    sources = ['#| hide\nimport os', 'import re', "#| echo: false\nprint(1)"]
    cells = pages.join_folded(pages.reader_cells(
        new_notebook(cells=[new_code_cell(source) for source in sources])))
    assert [cell.source for cell in cells] == ['import os\nimport re', 'print(1)']
    assert [cell.metadata.tags for cell in cells] == [['hide-cell'], ['remove-input']]


def test_results_have_captions():
    text = '*Caption*\n\n| a |\n|---|\n| 1 |'
    table = new_output('display_data', data={'text/markdown': text})
    image = new_output('display_data', data={'image/png': 'AAAA'})
    nb = new_notebook(cells=[new_markdown_cell('# T\n\nFirst.\n\nFigure 1. What it shows.'),
                             new_code_cell('a', outputs=[image]),
                             new_code_cell('b', outputs=[table])])
    results = pages.results_of(nb)
    assert [result.kind for result in results] == ['png', 'table']
    assert results[0].caption == 'Figure 1. What it shows.'


def test_links_in_tables_lead_to_notebooks(tmp_path):
    table = tmp_path/'t.csv'
    table.write_text('notebook\n[22](22_comparison.ipynb)\n')
    assert '[22](../nbs/22_comparison.ipynb)' in pages.table_markdown(table)


def test_durations_are_readable():
    from progress import readable
    assert [readable(t) for t in (5, 89, 120, 3600)] == ['5 s', '89 s', '2 min', '60 min']


class Example:
    """A documented class."""

    def method(
        self,
        x: int,  # First
        y: dict = (
            None  # Second, `(n,)`
        ),
        **options,  # Third
    ) -> tuple[
        int, int
    ]:  # Two numbers
        """Do nothing."""


def test_comments_become_fields(monkeypatch):
    docments = pytest.importorskip('docments')
    monkeypatch.setattr(Example.method, '__module__', 'bmm.example')
    assert docments.fields(Example.method) == [
        ':param x: First', ':type x: int', ':param y: Second, ``(n,)``', ':type y: dict',
        ':param options: Third', ':returns: Two numbers', ':rtype: tuple[int, int]']


def test_markdown_becomes_rst():
    docments = pytest.importorskip('docments')
    assert docments.to_rst('`x`s, classes_ and *y of $C$') == (
        r'``x``\ s, classes\_ and \*y of :math:`C`')
