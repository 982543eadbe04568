"""Run the notebooks, and decide which of their outputs are out of date.

Used by `dodo.py`, by the tests and by the documentation. Not part of the package.
"""
import ast
import atexit
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import warnings
import weakref
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import nbformat
import pandas as pd
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client import AsyncKernelManager
from traitlets import default

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'bmm'
PAPER_COHORT = 'tcga-brca'
EMBEDDED = ('synthetic', 'digits')        # cohorts that are generated or installed, not read
PUBLISHED = ('.png', '.svg', '.csv')      # suffixes of the files that git tracks in figures/


def find_notebooks() -> list[Path]:
    """Return the notebooks in reading order, `index` last."""
    nbs = ROOT/'nbs'
    return [*sorted(nbs.glob('[0-9][0-9]*_*.ipynb')), *nbs.glob('index.ipynb')]


def is_benchmark(notebook: Path) -> bool:
    """Return whether a notebook measures time, so that nothing may run beside it."""
    return notebook.stem.startswith('29')


def reads_results(notebook: Path) -> bool:
    """Return whether a notebook reads the tables that other notebooks write."""
    return is_benchmark(notebook) or notebook.stem == 'index'


def code_of(nb) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    return [cell.source for cell in nb.cells if cell.cell_type == 'code']


# Staleness --------------------------------------------------------------------------------

def parse(code: str) -> ast.Module:
    """Parse Python that may contain IPython magics."""
    return ast.parse(TransformerManager().transform_cell(code))


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove the docstrings of a module and of all that it defines."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, scopes) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def canonical(node):
    """Turn a syntax tree into lists and strings.

    `ast.dump` is not used because its result depends on the version of Python.
    """
    if isinstance(node, ast.AST):
        fields = [(name, canonical(value)) for name, value in ast.iter_fields(node)]
        return [type(node).__name__, [pair for pair in fields if pair[1] not in (None, [])]]
    if isinstance(node, list):
        return [canonical(item) for item in node]
    return node if node is None else repr(node)


def normalised(code: str) -> str:
    """Reduce code to what Python executes: no comments, docstrings or formatting."""
    return json.dumps(canonical(without_docstrings(parse(code))))


def module_path(name: str) -> Path | None:
    """Return the file of a dotted module name, or `None` if it is no module."""
    path = ROOT.joinpath(*name.split('.')).with_suffix('.py')
    return path if path.is_file() else None


@lru_cache
def lazy_names() -> dict[str, str]:
    """Return the modules of the names that the package itself offers."""
    stub = ast.parse((ROOT/PACKAGE/'__init__.pyi').read_text(encoding='utf-8'))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {f'{PACKAGE}.{alias.name}': f'{PACKAGE}.{node.module}'
            for node in imports for alias in node.names}


def dotted_names(tree: ast.Module, file: Path | None) -> set[str]:
    """Return every dotted name that a module imports, relative imports resolved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = file.relative_to(ROOT).parts[:-node.level] if node.level and file else ()
            base = '.'.join([*parents, *filter(None, [node.module])])
            names.add(base)
            names.update(f'{base}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == PACKAGE:
            names.add(f'{PACKAGE}.{node.attr}')
    return names


def imported_modules(code: str, file: Path | None = None) -> set[Path]:
    """Return the modules of the package that some code imports directly."""
    names = {lazy_names().get(name, name) for name in dotted_names(parse(code), file)}
    paths = {module_path(name) for name in names if name.startswith(f'{PACKAGE}.')}
    return paths - {None}


@lru_cache
def read_module(file: Path) -> tuple[str, set[Path]]:
    """Return the normalised code of a module and the modules that it imports."""
    code = file.read_text(encoding='utf-8')
    return normalised(code), imported_modules(code, file)


def modules_behind(code: str) -> list[Path]:
    """Return the modules of the package that some code imports, directly or not."""
    todo, found = imported_modules(code), set()
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= read_module(file)[1] - found
    return sorted(found)


@lru_cache
def code_hash(notebook: Path) -> str:
    """Hash the code of a notebook and of the modules behind it.

    The index shows the results of all other notebooks, so their hashes are included.
    """
    sources = code_of(nbformat.read(notebook, 4))
    parts = [normalised(source) for source in sources]
    for file in modules_behind('\n'.join(sources)):
        parts += [file.relative_to(ROOT).as_posix(), read_module(file)[0]]
    if notebook.stem == 'index':
        parts += [code_hash(other) for other in find_notebooks() if other != notebook]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@lru_cache
def folder_hash(folder: Path) -> str:
    """Hash the names and the bytes of all files of a folder."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob('*') if path.is_file()):
        total.update(file.relative_to(folder).as_posix().encode())
        with file.open('rb') as stream:
            total.update(hashlib.file_digest(stream, 'sha256').digest())
    return total.hexdigest()[:16]


def find_paper_cohort(data=None) -> Path | None:
    """Return the folder of the paper's cohort, or `None` if it is not on this machine."""
    from bmm.data.datasets import find_tcga
    found = find_tcga(data)
    return found[1] if found else None


def cohort_hash(cohort: str, data=None) -> str:
    """Hash what a cohort contains. The result is empty if the cohort is not found."""
    if cohort in EMBEDDED:
        return cohort
    folder = find_paper_cohort(data) if cohort == PAPER_COHORT else Path(cohort)
    return folder_hash(folder) if folder and folder.is_dir() else ''


def read_stamp(path: Path) -> dict:
    """Return the stamp of an executed notebook, empty if there is none."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))['metadata'].get('bmm', {})
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def stale_outputs(data=None) -> dict[str, str]:
    """Return the committed notebooks with outputs of older code, and the reason.

    The cohort is compared only if it is on this machine.
    """
    reasons = {}
    content = cohort_hash(PAPER_COHORT, data)
    for notebook in find_notebooks():
        stamp = read_stamp(notebook)
        if (stamp.get('profile'), stamp.get('cohort')) != ('full', PAPER_COHORT):
            reasons[notebook.stem] = 'no full run'
        elif stamp.get('code') != code_hash(notebook):
            reasons[notebook.stem] = 'code has changed'
        elif content and stamp.get('data') != content:
            reasons[notebook.stem] = 'cohort has changed'
    return reasons


# Execution --------------------------------------------------------------------------------

class QuietKernelManager(AsyncKernelManager):
    """Kernel manager with private sockets and an environment of its own.

    Parallel kernels would otherwise compete for ports or share one socket file.
    """
    variables: dict = {}
    alive: weakref.WeakSet = weakref.WeakSet()

    def __init__(self, **kwargs):
        prefix = 'bmm'                    # short: the path of a socket has at most 107 bytes
        self.box = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
        super().__init__(**kwargs)
        self.alive.add(self)

    @default('transport')
    def _default_transport(self):
        return 'tcp' if os.name == 'nt' else 'ipc'

    @default('ip')
    def _default_ip(self):
        return '127.0.0.1' if os.name == 'nt' else str(Path(self.box.name)/'k')

    async def _async_pre_start_kernel(self, **kwargs):
        private = dict(IPYTHONDIR=self.box.name, TMPDIR=self.box.name)
        kwargs['env'] = {**os.environ, **private, **self.variables}
        return await super()._async_pre_start_kernel(**kwargs)


@atexit.register
def stop_kernels():
    """Kill all kernels that this process has started."""
    for manager in list(QuietKernelManager.alive):
        process = getattr(manager.provisioner, 'process', None)
        if process and process.poll() is None:
            process.kill()


logging.getLogger('papermill').addHandler(logging.NullHandler())   # failures are returned


def kernel_variables(figures: Path, cohort: str, data=None) -> dict[str, str]:
    """Return the environment variables of a kernel."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    variables = dict(PYTHONPATH=path, PYTHONHASHSEED='0', OMP_NUM_THREADS='1',
                     BMM_FIGURES=str(figures), BMM_COHORT=cohort)
    return {**variables, 'BMM_DATA': str(data)} if data else variables


def check_parameters(notebook: Path):
    """Raise `ValueError` unless exactly one cell has the tag `parameters`.

    Without that cell papermill would silently run the default profile.
    """
    cells = nbformat.read(notebook, 4).cells
    tagged = [cell for cell in cells if 'parameters' in cell.metadata.get('tags', [])]
    if len(tagged) != 1:
        raise ValueError(f'{notebook.name} has {len(tagged)} cells with the tag `parameters`. '
                         'Tag the one cell that sets `profile` and `seed`.')


def failure_text(name: str, cell: int, source: str, error: str) -> str:
    """Describe where and why a notebook stopped."""
    lines = source.strip().splitlines()
    shown = [f'    {line}' for line in lines[:6]] + ['    ...']*(len(lines) > 6)
    return '\n'.join([f'{name} failed in cell {cell}:', *shown, f'  {error[:600]}'])


def execute(
    notebook: Path,         # What to run, in its own folder
    output: Path,           # The executed notebook, up to the failing cell if one fails
    profile: str,           # Passed to the notebook as a parameter
    variables: dict,        # Environment variables of the kernel
    timeout: int = 7200,    # Limit of one cell in seconds
) -> str:                   # Description of the failure, empty if every cell ran
    """Run one notebook in a kernel of its own."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    check_parameters(notebook)
    last = 0

    def remember(cell, cell_index):
        nonlocal last
        last = cell_index

    manager = type('KernelManager', (QuietKernelManager,), dict(variables=variables))
    try:
        papermill.execute_notebook(
            str(notebook), str(output), parameters=dict(profile=profile),
            cwd=str(notebook.parent),
            kernel_name='python3', language='python', kernel_manager_class=manager,
            shutdown_kernel='immediate', start_timeout=180, execution_timeout=timeout,
            extra_arguments=['--log-level=CRITICAL', '--HistoryManager.enabled=False'],
            progress_bar=False, request_save_on_cell_execute=False, on_cell_start=remember)
    except papermill.PapermillExecutionError as error:
        reason = f'{error.ename}: {error.evalue}'
        return failure_text(notebook.stem, error.cell_index, error.source, reason)
    except DeadKernelError:
        reason = 'The kernel died, probably out of memory.'
        return failure_text(notebook.stem, last, '', reason)
    except CellTimeoutError:
        reason = f'The cell took more than {timeout} s.'
        return failure_text(notebook.stem, last, '', reason)
    return ''


@dataclass(frozen=True)
class Run:
    """One run of the notebooks."""
    cohort: str     # A name, or the absolute path of a folder
    profile: str    # 'full', 'standard' or 'fast'
    data: str = ''  # Folder with cohorts; BMM_DATA applies if empty

    @cached_property
    def slug(self) -> str:
        """Name of the cohort as a part of a path."""
        if self.cohort == Path(self.cohort).name:
            return self.cohort
        digest = hashlib.sha256(self.cohort.encode()).hexdigest()[:6]
        return f'{Path(self.cohort).name}-{digest}'

    @property
    def folder(self) -> Path:
        return ROOT/'_runs'/f'{self.slug}-{self.profile}'

    @property
    def figures(self) -> Path:
        return self.folder/'figures'

    def output(self, notebook: Path) -> Path:
        return self.folder/notebook.name

    @lru_cache
    def stamp(self, notebook: Path) -> dict:
        """Return everything that the outputs of a notebook depend on."""
        return dict(profile=self.profile, cohort=self.slug, code=code_hash(notebook),
                    data=cohort_hash(self.cohort, self.data or None))

    def is_current(self, notebook: Path) -> bool:
        """Return whether a finished output belongs to the present code and cohort."""
        stamp = read_stamp(self.output(notebook))
        return {**stamp, **self.stamp(notebook)} == stamp

    def cohort_problem(self) -> str:
        """Return why the cohort cannot be read, empty if it can be."""
        if self.cohort in EMBEDDED:
            return ''
        from bmm.data.datasets import load_cohort
        try:
            with warnings.catch_warnings(action='ignore'):    # the notebooks show them
                load_cohort(self.cohort, data=self.data or None)
        except ValueError as error:
            return str(error)
        return ''

    def execute(self, notebook: Path) -> str:
        """Run one notebook, and replace its earlier output only if it succeeds.

        Returns the description of a failure.
        """
        stamp = self.stamp(notebook)
        part = self.folder/'unfinished'/notebook.stem
        shutil.rmtree(part, ignore_errors=True)
        (part/'figures').mkdir(parents=True)
        before = self.lend_tables(part/'figures') if reads_results(notebook) else {}
        variables = kernel_variables(part/'figures', self.cohort, self.data)
        failure = execute(notebook, part/notebook.name, self.profile, variables)
        if failure:
            return f'{failure}\n  The notebook up to there: {part/notebook.name}'
        files = [file for file in sorted((part/'figures').iterdir())
                 if before.get(file.name) != file.stat().st_mtime_ns]
        self.keep(notebook, part, files, stamp)
        return ''

    def lend_tables(self, folder: Path) -> dict[str, int]:
        """Copy the tables of this run, and return the time of each."""
        for file in self.figures.glob('*.csv'):
            shutil.copy2(file, folder)
        return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    def keep(self, notebook: Path, part: Path, files: list[Path], stamp: dict):
        """Move a finished notebook and its files to their places, the notebook last."""
        nb = nbformat.read(part/notebook.name, 4)
        nb.metadata['bmm'] = dict(stamp, files=[file.name for file in files])
        nbformat.write(nb, part/notebook.name)
        self.figures.mkdir(exist_ok=True)
        old = set(read_stamp(self.output(notebook)).get('files', []))
        for file in files:
            os.replace(file, self.figures/file.name)
        os.replace(part/notebook.name, self.output(notebook))
        for name in old - {file.name for file in files}:
            (self.figures/name).unlink(missing_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        self.save_times()

    _saving = threading.Lock()

    def save_times(self):
        """Write how long each finished notebook took."""
        with self._saving:
            seconds = self.recorded_seconds()
            times = pd.DataFrame(dict(notebook=list(seconds), seconds=list(seconds.values()),
                                      profile=self.profile, cohort=self.slug))
            times.to_csv(self.figures/'wall_times.csv', index=False)

    def recorded_seconds(self) -> dict[str, float]:
        """Return the seconds that each finished notebook took."""
        seconds = {}
        for notebook in find_notebooks():
            if self.output(notebook).exists():
                nb = json.loads(self.output(notebook).read_text(encoding='utf-8'))
                seconds[notebook.stem] = round(nb['metadata']['papermill']['duration'], 1)
        return seconds

    def expected_seconds(self) -> dict[str, float]:
        """Return the seconds that each notebook will take.

        The first guess of a profile is the committed full run, cut to a limit.
        """
        limit = dict(full=3600, standard=40, fast=12)[self.profile]
        table = ROOT/'figures'/'wall_times.csv'
        full = pd.read_csv(table).set_index('notebook').seconds if table.exists() else {}
        guess = {nb.stem: min(full.get(nb.stem, 30), limit) for nb in find_notebooks()}
        return {**guess, **self.recorded_seconds()}


# Publication ------------------------------------------------------------------------------

def with_outputs(nb, executed, stamp: dict):
    """Return a notebook with the outputs of its run and nothing else of it."""
    ran = [cell for cell in executed.cells if cell.cell_type == 'code'
           and 'injected-parameters' not in cell.metadata.get('tags', [])]
    cells = [cell for cell in nb.cells if cell.cell_type == 'code']
    if [cell.source for cell in cells] != [cell.source for cell in ran]:
        raise ValueError('The notebook has changed since it was run. Run it again.')
    for cell, done in zip(cells, ran):
        cell.outputs = [out for out in done.outputs if out.get('name') != 'stderr']
        cell.execution_count = None
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == 'tags' and v}
    kernel = dict(name='python3', display_name='python3', language='python')
    nb.metadata = nbformat.from_dict(dict(kernelspec=kernel, bmm=stamp))
    return nb


def tidy(nb) -> str:
    """Return the file of a notebook as git should see it."""
    from execnb.nbio import nb2str
    from nbdev.clean import clean_nb
    plain = json.loads(nbformat.writes(nb))
    keys = ('allowed_metadata_keys', 'allowed_cell_metadata_keys')
    clean_nb(plain, **{key: settings()[key].split() for key in keys})
    return nb2str(plain)


def settings():
    """Return the section of settings.ini."""
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return config['DEFAULT']


def publish(run: Run) -> list[Path]:
    """Write the outputs of a complete run to the tracked files, and return what changed."""
    changed = []

    def put(path: Path, content: bytes):
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(path)

    names = {'wall_times.csv'}
    for notebook in find_notebooks():
        executed = nbformat.read(run.output(notebook), 4)
        names.update(executed.metadata.bmm.files)
        nb = with_outputs(nbformat.read(notebook, 4), executed, executed.metadata.bmm)
        put(notebook, tidy(nb).encode())
    names = {name for name in names if name.endswith(PUBLISHED)}
    figures = ROOT/'figures'
    figures.mkdir(exist_ok=True)
    for name in sorted(names):
        put(figures/name, (run.figures/name).read_bytes())
    for file in figures.iterdir():
        if file.suffix in PUBLISHED and file.name not in names:
            file.unlink()
            changed.append(file)
    return changed
