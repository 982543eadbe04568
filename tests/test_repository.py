"What git tracks is consistent: notebooks, modules, outputs and README say the same."
import re
import shutil
import subprocess
import sys
from pathlib import Path
import nbformat
import pytest
from bmm.reproduce import PAPER, find_notebooks, fingerprint, read_stamp, tidy
from bmm.site import broken_links, contents, readme_text

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = find_notebooks(ROOT)
each_notebook = pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda nb: nb.stem)


def modules(folder): return {p.relative_to(folder).as_posix(): p.read_text(encoding='utf-8') for p in folder.rglob('*.py')}


def test_export_is_in_step(tmp_path):
    shutil.copytree(ROOT/'nbs', tmp_path/'nbs')
    shutil.copy(ROOT/'settings.ini', tmp_path)
    subprocess.run([sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'], cwd=tmp_path, check=True)
    ours, exported = modules(ROOT/'bmm'), modules(tmp_path/'bmm')
    strays = sorted(set(ours)-set(exported))
    assert not strays, f'bmm/ is exported from the notebooks only, but no notebook makes {strays}: write a notebook, or delete them'
    stale = sorted(name for name in exported if ours.get(name)!=exported[name])
    assert not stale, f'{stale} differ from their notebooks: run `make export`'


def test_names_are_defined():
    "An exported function that uses an import which only its notebook makes passes in the notebook and fails for everybody else"
    found = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--isolated', '--no-cache', '--output-format', 'concise',
                            '--select', 'F821,F822,F823', str(ROOT/'bmm')], capture_output=True, text=True)
    assert found.returncode==0, found.stdout + found.stderr


@each_notebook
def test_is_clean(notebook):
    assert notebook.read_text(encoding='utf-8')==tidy(nbformat.read(notebook, 4), ROOT), f'{notebook.name} is not clean: run `.venv/bin/nbdev_clean`'


@each_notebook
def test_shows_no_error(notebook):
    cells = [c for c in nbformat.read(notebook, 4).cells if c.cell_type=='code']
    assert not [c.source for c in cells if any(o.output_type=='error' for o in c.outputs)], f'{notebook.name} shows an error: mend it and run `make figures`'


@each_notebook
def test_outputs_are_current(notebook):
    stamp, remedy = read_stamp(notebook), f'run `make figures COHORT={PAPER}` and commit what it refreshes'
    assert stamp, f'{notebook.name} was never run in full: {remedy}'
    assert (stamp['profile'], stamp['cohort'])==('full', PAPER), f"{notebook.name} was run as {stamp['profile']} on {stamp['cohort']}: {remedy}"
    assert stamp['hash']==fingerprint(nbformat.read(notebook, 4), ROOT), f'{notebook.name} shows outputs of older code: {remedy}'


def test_readme_is_in_step():
    assert (ROOT/'README.md').read_text(encoding='utf-8')==readme_text(ROOT), 'README.md differs from nbs/index.ipynb: run `.venv/bin/bmm site readme`'


def test_readme_links_exist():
    assert broken_links(ROOT, (ROOT/'README.md').read_text(encoding='utf-8'))==[]


def test_readme_lists_each_notebook():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    missing = [row.file for row in contents(ROOT).itertuples() if f'(nbs/{row.file})' not in text or row.claim not in text]
    assert not missing, f'README.md has no or an older line about {missing}: run `make figures COHORT={PAPER}`'


def without_images(path):
    "A file's text; of a notebook without its pictures, whose letters are random"
    text = path.read_text(encoding='utf-8')
    return text if path.suffix!='.ipynb' else re.sub(r'"image/\w+": "[^"]*"', '', text)


def test_no_path_of_one_machine():
    "Nothing that others get names a folder of the machine on which it was made"
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode: pytest.skip('not a git checkout, so there is no list of tracked files')
    files = [ROOT/f for f in listed.stdout.splitlines() if Path(f).suffix in ('.py', '.ipynb', '.md', '.csv', '.ini', '.txt', '.cff', '') and (ROOT/f).is_file()]
    machine = re.compile(r'(?<![\w.:/])/(?:home|root|tmp|work|mnt|Users|private|var)/\w[^\s"\']*')
    found = {f'{f.relative_to(ROOT)}: {m[0]}' for f in files for m in machine.finditer(without_images(f))}
    assert not found, '\n'.join(sorted(found))
