"""Notebooks, modules, outputs and README are consistent."""
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest

import notebooks as nbs
import pages

ROOT = nbs.ROOT
PACKAGE = ROOT/nbs.PACKAGE
BY_HAND = {'__init__.py'}      # nbdev changes only the line with the version
PACKAGE_FILES = ('__init__.py', '__init__.pyi', 'py.typed')
each_notebook = pytest.mark.parametrize(
    'notebook', nbs.find_notebooks(), ids=lambda notebook: notebook.stem)


def python(*arguments, **options):
    """Run Python in the repository and return the finished process."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True,
                          text=True, encoding='utf-8', **options)


def modules(folder):
    """Return the text of all modules below a folder."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*.py')}
    return {name: path.read_text(encoding='utf-8')
            for name, path in files.items() if name not in BY_HAND}


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """The package as the notebooks export it next to the files that are written by hand."""
    folder = tmp_path_factory.mktemp('export')
    shutil.copytree(ROOT/'nbs', folder/'nbs')
    shutil.copy(ROOT/'settings.ini', folder)
    (folder/nbs.PACKAGE).mkdir()
    for name in PACKAGE_FILES:
        shutil.copy(PACKAGE/name, folder/nbs.PACKAGE)
    export = 'from nbdev.doclinks import nbdev_export; nbdev_export()'
    subprocess.run([sys.executable, '-c', export], cwd=folder, check=True)
    return folder/nbs.PACKAGE


def test_export_is_in_step(exported):
    ours, made = modules(PACKAGE), modules(exported)
    strays = sorted(set(ours)-set(made))
    assert not strays, f'No notebook exports {strays}. Write a notebook or delete them.'
    stale = sorted(name for name in made if ours.get(name) != made[name])
    assert not stale, f'{stale} differ from their notebooks. Run `make export`.'


def test_export_keeps_the_package_files(exported):
    for name in PACKAGE_FILES:
        assert (exported/name).read_bytes() == (PACKAGE/name).read_bytes(), name


def test_names_are_defined():
    """An exported function may use an import that only its notebook makes."""
    found = python('-m', 'ruff', 'check', '--isolated', '--no-cache', '--output-format',
                   'concise', '--select', 'F821,F822,F823', 'bmm', 'docs', 'tests', 'dodo.py')
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(not (ROOT/'ruff.toml').exists(), reason='no ruff.toml')
def test_notebooks_are_formatted():
    found = python('-m', 'ruff', 'format', '--check', 'nbs')
    assert found.returncode == 0, f'{found.stdout}Run `python -m ruff format nbs`.'


def test_attributes_exist():
    found = python('-m', 'mypy', '--no-error-summary', 'bmm')
    assert found.returncode == 0, found.stdout + found.stderr


def test_import_is_fast():
    code = 'import time; t = time.process_time(); import bmm; print(time.process_time() - t)'
    seconds = min(float(python('-c', code).stdout) for _ in range(3))
    assert seconds < .1, f'`import bmm` takes {seconds:.2f} s.'


def test_names_of_the_package_resolve():
    code = 'import bmm; print(*[getattr(bmm, name).__name__ for name in bmm.__all__])'
    found = python('-c', code)
    assert found.returncode == 0, found.stderr
    names = python('-c', 'import bmm; print(*bmm.__all__)').stdout.split()
    assert found.stdout.split() == names


def test_version_is_the_one_of_the_settings():
    version = python('-c', 'import bmm; print(bmm.__version__)').stdout.strip()
    assert version == nbs.settings()['version']
    assert f'## {version}' in (ROOT/'CHANGELOG.md').read_text(encoding='utf-8')


@each_notebook
def test_is_clean(notebook):
    text = notebook.read_text(encoding='utf-8')
    clean = nbs.tidy(nbformat.read(notebook, 4))
    assert text == clean, f'{notebook.name} is not clean. Run `nbdev_clean`.'


@each_notebook
def test_has_parameters(notebook):
    nbs.check_parameters(notebook)


@each_notebook
def test_shows_no_error(notebook):
    cells = [c for c in nbformat.read(notebook, 4).cells if c.cell_type == 'code']
    failed = [c.source for c in cells if any(o.output_type == 'error' for o in c.outputs)]
    assert not failed, f'{notebook.name} shows an error.'


def test_outputs_are_current(request):
    """Stale outputs are named, and they are an error only before a release."""
    stale = nbs.stale_outputs()
    if not stale:
        return
    listed = ', '.join(f'{name} ({reason})' for name, reason in stale.items())
    message = f'{len(stale)} stale outputs, run `make paper`: {listed}'
    if request.config.getoption('--release'):
        pytest.fail(message, pytrace=False)
    warnings.warn(message, stacklevel=1)


def test_readme_is_in_step():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    assert text == pages.readme_text(), 'Run `python -m doit readme`.'


@pytest.mark.parametrize('name', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'])
def test_links_exist(name):
    assert pages.broken_links((ROOT/name).read_text(encoding='utf-8')) == []


def without_images(path):
    """Return the text of a file. Images in notebooks are random letters."""
    text = path.read_text(encoding='utf-8')
    return re.sub(r'"image/\w+": "[^"]*"', '', text) if path.suffix == '.ipynb' else text


def test_no_path_of_one_machine():
    """No tracked file names a folder of the machine on which it was made."""
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('This is not a git checkout.')
    suffixes = ('.py', '.ipynb', '.md', '.csv', '.ini', '.txt', '.cff', '.yml', '.toml',
                '.html', '.pyi', '')
    files = [ROOT/name for name in listed.stdout.splitlines() if Path(name).suffix in suffixes]
    machine = re.compile(
        r'(?<![\w.:/])/(?:home|root|tmp|work|mnt|Users|private|var)/\w[^\s"\']*')
    found = {f'{file.relative_to(ROOT)}: {match[0]}' for file in files if file.is_file()
             for match in machine.finditer(without_images(file))}
    assert not found, '\n'.join(sorted(found))
