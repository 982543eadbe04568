"""Tasks of the repository: run `python -m doit list`.

`python -m doit figures cohort=path/to/folder profile=fast` runs the notebooks that are not up
to date. The variables are `cohort`, `profile` and `data`, and `-n 1` runs one at a time.
"""
import os
import signal
import subprocess
import sys
from pathlib import Path

from doit import get_var
from doit.exceptions import TaskFailed

sys.path.insert(0, str(Path(__file__).parent/'docs'))
import notebooks as nbs
import pages
from progress import Progress

RUNS = nbs.ROOT/'_runs'
RUNS.mkdir(exist_ok=True)
nbs.remove_orphans()
# Threads suffice, because each notebook runs in a kernel process of its own.
DOIT_CONFIG = dict(default_tasks=['figures'], num_process=2, par_type='thread', verbosity=2,
                   reporter=Progress, dep_file=str(RUNS/'doit'), **{'continue': True})
os.environ.setdefault('OMP_NUM_THREADS', '1')    # two threads on two busy cores are far slower


def stop(signum, frame):
    """Leave without a traceback. Kernels are stopped at exit."""
    sys.exit(128 + signum)


for name in (signal.SIGINT, signal.SIGTERM):
    signal.signal(name, stop)


def command(*arguments):
    """Return an action that runs Python with arguments."""
    def run():
        if subprocess.run([sys.executable, *arguments], cwd=nbs.ROOT).returncode:
            return TaskFailed(f'python {" ".join(arguments)}', report=False)
    return run


def task(name, *actions, **options):
    """Return a task that always runs and shows its output as it comes."""
    return dict(name=name, actions=list(actions), io=dict(capture=False), **options)


def simple(doc, *actions):
    """Return a task without a name of its own."""
    return {key: value for key, value in task('', *actions, doc=doc).items() if key != 'name'}


def is_current(run, notebook):
    """Return a function that compares a finished output with the present code and cohort."""
    return lambda: run.is_current(notebook)


def notebook_action(run, notebook):
    """Return an action that runs one notebook."""
    def action():
        failure = run.execute(notebook)
        return TaskFailed(failure) if failure else None
    return action


def notebook_tasks(group, run):
    """Yield one task per notebook: two at a time, then those that read results, one by one."""
    expected = run.expected_seconds()
    earlier = []
    for notebook in sorted(nbs.find_notebooks(), key=nbs.reads_results):
        before = list(earlier) if nbs.reads_results(notebook) else []
        meta = dict(run=run, notebook=notebook, seconds=expected[notebook.stem])
        yield task(notebook.stem, notebook_action(run, notebook), meta=meta,
                   task_dep=before, uptodate=[is_current(run, notebook)])
        earlier.append(f'{group}:{notebook.stem}')


def chosen_run():
    """Return the run that the variables on the command line describe."""
    cohort = get_var('cohort', '') or 'synthetic'
    cohort = str(Path(cohort).resolve()) if Path(cohort).is_dir() else cohort
    return nbs.Run(cohort, get_var('profile', '') or 'standard', get_var('data', ''))


def task_figures():
    """All tables and figures of a cohort: cohort=NAME|FOLDER profile=standard|fast|full."""
    yield from notebook_tasks('figures', chosen_run())


def task_paper():
    """The full run on the cohort of the paper. It refreshes the tracked files."""
    run = nbs.Run(nbs.PAPER_COHORT, 'full', get_var('data', ''))
    yield from notebook_tasks('paper', run)

    def publish():
        changed = nbs.publish(run) + pages.write_readme()
        print('\nTracked files that changed:', len(changed))
        print(*[f'  {path.relative_to(nbs.ROOT)}' for path in changed], sep='\n')

    # The index depends on all other notebooks.
    yield task('publish', publish, task_dep=['paper:index'])


def task_test():
    """Every notebook in the fast profile, and the consistency of the repository."""
    options = ('-q', '-n', '2', '--dist', 'worksteal')
    return simple(task_test.__doc__, command('-m', 'pytest', *options, 'tests'))


def task_release_check():
    """The consistency of the repository, stale outputs included."""
    check = command('-m', 'pytest', '-q', '--release', 'tests/test_repository.py')
    return simple(task_release_check.__doc__, check)


def task_docs():
    """The documentation in _site/html. Any warning is a failure."""
    sphinx = ('-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html')
    return simple(task_docs.__doc__, pages.write_site,
                  command(*sphinx, '_site/pages', '_site/html'),
                  lambda: print(nbs.ROOT/'_site'/'html'/'index.html'))


def task_readme():
    """README.md from nbs/index.ipynb and the outputs that it holds."""
    def readme():
        print('README.md', 'has changed' if pages.write_readme() else 'is up to date')
    return simple(task_readme.__doc__, readme)


def task_export():
    """bmm/ from the notebooks."""
    return simple(task_export.__doc__,
                  command('-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'))
