"""Progress of the notebooks as a reporter of doit."""
import sys
import threading
import time

from doit.reporter import ConsoleReporter
from tqdm import tqdm


def readable(seconds: float) -> str:
    """Return a duration in words."""
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds/60:.0f} min'


class Progress(ConsoleReporter):
    """Show how many notebooks are done, which are running, and how long is left."""

    bar = None

    def initialize(self, tasks, selected_tasks):
        chosen = with_dependencies(tasks, selected_tasks)
        self.meta = {task.name: task.meta for task in chosen if task.meta}
        self.waiting = {name: meta['seconds'] for name, meta in self.meta.items()
                        if not meta['run'].is_current(meta['notebook'])}
        self.started, self.expected, self.spent = {}, 0., 0.
        self.total = len(self.waiting)
        self.lock = threading.RLock()
        if self.meta:
            run = self.run = next(iter(self.meta.values()))['run']
            problem = run.cohort_problem()
            if problem:
                sys.exit(f'bmm: {problem}')
            print(f'Cohort {run.cohort}, profile {run.profile}: {self.total} of '
                  f'{len(self.meta)} notebooks to run, {self.left()}.', flush=True)
        self.bar = tqdm(total=self.total, disable=None if self.total else True, leave=False,
                        bar_format='{n_fmt}/{total_fmt} |{bar:20}| {desc}')
        if not self.bar.disable:
            threading.Thread(target=self.refresh, daemon=True).start()

    def refresh(self):
        """Update the time left while nothing else happens."""
        while not self.bar.disable:
            with self.lock:
                running = ', '.join(name.partition(':')[2] for name in self.started)
                self.bar.set_description_str(f'{running}; {self.left()}')
            time.sleep(1)

    def left(self) -> str:
        """Estimate the time left from the durations of earlier runs and of this one."""
        # A minute of weight on the recorded durations keeps the first estimates steady.
        scale = (self.spent+60)/(self.expected+60)
        now = time.monotonic()
        rest = [max(scale*self.meta[name]['seconds'] - (now-begin), 0)
                for name, begin in list(self.started.items())]
        rest += [scale*seconds for seconds in list(self.waiting.values())]
        return f'about {readable(max(sum(rest)/2, *rest, 1))} left' if rest else 'none left'

    def execute_task(self, task):
        if task.name in self.meta:
            with self.lock:
                self.waiting.pop(task.name, None)
                self.started[task.name] = time.monotonic()

    def finish(self, task, result: str):
        """Count a notebook as done and print one line about it."""
        with self.lock:
            seconds = time.monotonic() - self.started.pop(task.name)
            self.spent += seconds
            self.expected += task.meta['seconds']
            self.bar.update(not self.bar.disable)
            done = self.total - len(self.waiting) - len(self.started)
            name = task.name.partition(':')[2]
            text = f'[{done}/{self.total}] {name} {result} {readable(seconds)}, {self.left()}'
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def add_success(self, task):
        if task.name in self.started:
            self.finish(task, 'done in')

    def skip_uptodate(self, task):
        pass

    def add_failure(self, task, fail):
        if task.name in self.started:
            self.finish(task, 'FAILED after')
        self.waiting.pop(task.name, None)
        if fail.report:
            self.failures.append(dict(task=task, exception=fail))

    def complete_run(self):
        if self.bar is None:    # the cohort could not be read
            return
        self.bar.close()
        for failure in self.failures:
            print(f'\n{failure["task"].name}: {failure["exception"].get_msg().strip()}')
        if self.runtime_errors:
            print(*self.runtime_errors, sep='\n')
        if not self.meta:
            return
        if self.waiting or self.started or self.failures:
            print('\nNot everything is done. The same command continues with what is left.')
        from pages import write_summary
        print(f'\nAll tables and figures: {write_summary(self.run)}', flush=True)


def with_dependencies(tasks: dict, names) -> list:
    """Return tasks and all that they depend on."""
    todo, found = list(names), {}
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = tasks[name]
            todo += tasks[name].task_dep
    return list(found.values())
