"""Run the notebooks.

Used by `dodo.py`, by the tests and by the documentation. Not part of the package.
"""
import atexit
import gc
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import warnings
import weakref
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import nbformat
import pandas as pd
import psutil
from filelock import FileLock
from jupyter_client import AsyncKernelManager
from traitlets import default

from staleness import (    # some of them for the users of this module
    EMBEDDED,
    PACKAGE,
    PAPER_COHORT,
    ROOT,
    code_hash,
    code_of,
    cohort_hash,
    find_notebooks,
    find_paper_cohort,
    normalised,
    parse,
    read_stamp,
    reads_results,
    stale_outputs,
)

PUBLISHED = ('.png', '.svg', '.csv')    # suffixes of the files that git tracks in figures/


# Execution --------------------------------------------------------------------------------

BOX = f'bmm{os.getpid()}-'    # short: the path of a socket has at most 107 bytes


def remove_orphans():
    """Remove the temporary folders of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob('bmm[0-9]*-*'):
        owner = folder.name.removeprefix('bmm').split('-')[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


# Importing the libraries takes longer than most notebooks. Kernels are therefore forked from a
# process in which they are imported. Not `torch_geometric.nn`, which imports `torch._dynamo`.
PRELOADED = [
    'notebooks', 'ipykernel.kernelapp', 'ipykernel.ipkernel', 'ipykernel.debugger',
    'matplotlib.pyplot', 'torch', 'captum.attr', 'snf.compute', 'networkx', 'sklearn.ensemble', 'sklearn.experimental', 'scipy.stats',
    'seaborn', 'fastcore.test', 'bmm.comparison', 'bmm.cli',
]
FORKS = 'forkserver' in multiprocessing.get_all_start_methods()
INLINE = 'module://matplotlib_inline.backend_inline'


@lru_cache
def warm_processes():
    """Return the way to start processes in which the libraries are imported, where there is one."""
    if not FORKS:
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    path = os.pathsep.join([str(ROOT), str(ROOT/'docs')])
    # All of them are read when Python starts or at import; the last one silences the debugger.
    variables = {**kernel_variables('', ''), 'PYTHONPATH': path, 'MPLBACKEND': INLINE,
                 'PYDEVD_DISABLE_FILE_VALIDATION': '1'}
    with mock.patch.dict(os.environ, variables):
        forkserver.ensure_running()
    return context


_starting = threading.Lock()


def end_with_parent():
    """Wait until the process is gone that asked for this kernel, then kill the kernel's group."""
    multiprocessing.parent_process().join()
    os.killpg(0, signal.SIGKILL)


def become_kernel(arguments: list, variables: dict, folder: str):
    """Turn this forked process into a kernel that leads a process group of its own."""
    os.setsid()
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    tempfile.tempdir = None     # read TMPDIR again
    gc.freeze()                 # the collector need not look at the libraries again
    from ipykernel.kernelapp import IPKernelApp
    sys.argv = ['ipykernel', *arguments]
    IPKernelApp.launch_instance(arguments)


class ForkedKernel:
    """A kernel in a forked process, with what a provisioner uses of `subprocess.Popen`."""
    stdin = stdout = stderr = None

    def __init__(self, arguments: list, variables: dict, folder: str):
        with _starting:
            target = dict(target=become_kernel, args=(arguments, variables, folder))
            self.process = warm_processes().Process(**target)
            self.process.start()
        self.pid = self.process.pid

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum: int):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self):
        self.process.kill()

    def terminate(self):
        self.process.terminate()


class QuietKernelManager(AsyncKernelManager):
    """Kernel manager with private sockets and an environment of its own.

    Parallel kernels would otherwise compete for ports or share one socket file.
    """
    variables: dict = {}
    alive: weakref.WeakSet = weakref.WeakSet()

    def __init__(self, **kwargs):
        self.box = tempfile.TemporaryDirectory(prefix=BOX, ignore_cleanup_errors=True)
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

    async def _async_launch_kernel(self, kernel_cmd, **kwargs):
        if not FORKS:
            await super()._async_launch_kernel(kernel_cmd, **kwargs)
            return
        arguments = kernel_cmd[kernel_cmd.index('ipykernel_launcher') + 1:]
        kernel = ForkedKernel(arguments, kwargs['env'], kwargs.get('cwd') or os.getcwd())
        self.provisioner.process = kernel
        self.provisioner.pid = self.provisioner.pgid = kernel.pid


@atexit.register
def stop_kernels():
    """Kill all kernels that this process has started, and the workers that they have started."""
    for manager in list(QuietKernelManager.alive):
        process = getattr(manager.provisioner, 'process', None)
        if process is None or process.poll() is not None:
            continue
        if os.name == 'nt':
            process.kill()
        else:
            # A kernel leads a process group of its own as soon as it is awake.
            process.kill()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


logging.getLogger('papermill').addHandler(logging.NullHandler())   # failures are returned


def kernel_variables(figures: Path, cohort: str, data=None, store=None) -> dict[str, str]:
    """Return the environment variables of a kernel.

    Without a store the results of a study stay in memory.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    variables = dict(PYTHONPATH=path, PYTHONHASHSEED='0', OMP_NUM_THREADS='1',
                     BMM_FIGURES=str(figures), BMM_COHORT=cohort, BMM_STORE=str(store or ''))
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

    @property
    def store(self) -> Path | None:
        """Folder with the results of studies, one for all runs; none for a fast run."""
        return None if self.profile == 'fast' else ROOT/'_runs'/'store'

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

        A second run of the same notebook waits for the first and takes over its result.
        Returns the description of a failure.
        """
        locks = self.folder/'locks'
        locks.mkdir(parents=True, exist_ok=True)
        before = self.finished_at(notebook)
        with FileLock(locks/f'{notebook.stem}.lock'):
            made_meanwhile = self.finished_at(notebook) != before
            if made_meanwhile and self.is_current(notebook):
                return ''
            return self.execute_alone(notebook)

    def finished_at(self, notebook: Path) -> int:
        """Return when a notebook was finished, in nanoseconds, 0 if it was not."""
        output = self.output(notebook)
        return output.stat().st_mtime_ns if output.exists() else 0

    def execute_alone(self, notebook: Path) -> str:
        """Run one notebook that no other run holds."""
        stamp = self.stamp(notebook)
        part = self.folder/'unfinished'/notebook.stem
        shutil.rmtree(part, ignore_errors=True)
        (part/'figures').mkdir(parents=True)
        before = self.lend_tables(part/'figures') if reads_results(notebook) else {}
        variables = kernel_variables(part/'figures', self.cohort, self.data, self.store)
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
    """Return a notebook with the outputs of its run and nothing else of it.

    Comments and formatting may have changed since the run.
    """
    ran = [cell for cell in executed.cells if cell.cell_type == 'code'
           and 'injected-parameters' not in cell.metadata.get('tags', [])]
    cells = [cell for cell in nb.cells if cell.cell_type == 'code']
    if [normalised(cell.source) for cell in cells] != [normalised(cell.source) for cell in ran]:
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
