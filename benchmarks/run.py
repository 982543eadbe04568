"""One model on one cohort: a row per fold in a CSV file. Runs in the environment of the model.

python benchmarks/run.py MODEL COHORT... [--out FILE] [--folds N] [--limit SECONDS] [--again]
"""

import argparse
import csv
import importlib
import os
import platform
import resource
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path

HERE = Path(__file__).parent
KEY = ('cohort', 'model', 'missing', 'fold')
COLUMNS = (*KEY, 'n_train', 'n_test', 'macro_f1', 'accuracy', 'cpu_fit', 'cpu_predict')
COLUMNS += ('sees_test', 'status', 'versions', 'python', 'machine', 'date')


class Stopped(Exception):
    "The limit of CPU seconds is reached"


def cpu_seconds() -> float:
    "Of this process, its threads and the children that ended"
    used = [
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return sum(u.ru_utime + u.ru_stime for u in used)


def stop(signum, frame):
    raise Stopped


def limited(call, seconds):
    "Result of a call and its CPU seconds; `Stopped` beyond the limit"
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    start = cpu_seconds()
    try:
        result = call()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return result, cpu_seconds() - start


def machine() -> str:
    "Model of the processor and number of cores"
    names = [platform.processor() or platform.machine()]
    info = Path('/proc/cpuinfo')
    if info.exists():
        lines = info.read_text().splitlines()
        names = [
            line.split(': ')[1] for line in lines if line.startswith('model name')
        ] or names
    return f'{names[0]}, {os.cpu_count()} cores'


def versions(packages) -> str:
    "Names and versions of the packages behind a model"
    found = []
    for name in packages:
        loaded = getattr(sys.modules.get(name), '__version__', '')
        with suppress(PackageNotFoundError):
            loaded = loaded or version(name)
        found.append(f'{name} {loaded}')
    return ' '.join(found)


def read(path):
    "Rows of the results so far, as a dict by key"
    if not path.exists():
        return {}
    with path.open(newline='') as file:
        return {tuple(row[k] for k in KEY): row for row in csv.DictReader(file)}


def write(path, row):
    "Add a row to the results, or replace the one of the same key"
    rows = read(path)
    row = {column: str(row.get(column, '')) for column in COLUMNS}
    for key, old in list(rows.items()):  # of a model that could not be imported
        if key[:2] == (row['cohort'], row['model']) and not old['n_train']:
            del rows[key]
    rows[tuple(row[k] for k in KEY)] = row
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows, key=sort_key))


def sort_key(key):
    cohort, model, missing, fold = key
    return cohort, model, missing, int(fold)


def scores(y, predicted) -> dict:
    from sklearn.metrics import accuracy_score, f1_score

    macro_f1 = f1_score(y, predicted, average='macro')
    return dict(macro_f1=round(macro_f1, 4), accuracy=round(accuracy_score(y, predicted), 4))


def load(cohort):
    "Tables, codes of the labels, test masks, and the modality that is missing at prediction"
    import numpy as np

    path = HERE / '_data' / f'{cohort}.npz'
    if not path.exists():
        sys.exit(f'{path.name} is not there: run prepare.py in the environment of bmm.')
    with np.load(path) as file:
        tables = {name[2:]: file[name] for name in file.files if name.startswith('X ')}
        _, y = np.unique(file['y'], return_inverse=True)
        return tables, y, file['test'], str(file['missing'])


def run_fold(Model, tables, y, test, absent, seed, limit):
    "Rows of one fold: fitted once, then complete samples and samples that lack one modality"
    import numpy as np

    train_tables = {m: X[~test] for m, X in tables.items()}
    test_tables = {m: X[test] for m, X in tables.items()}
    cases = {'': test_tables, absent: {m: X for m, X in test_tables.items() if m != absent}}
    if np.isnan(test_tables[absent]).all():  # a test set that lacks it by itself
        del cases['']
    sizes = dict(n_train=int((~test).sum()), n_test=int(test.sum()))
    model, fitted = Model(), {}
    for missing, given in cases.items():
        row = dict(missing=missing, sees_test=Model.sees_test, **sizes)
        if missing and Model.needs_all:
            yield row | dict(status=f'cannot: {Model.needs_all}')
            continue
        try:
            if not fitted:
                fit = partial(model.fit, train_tables, y[~test], seed)
                fitted['cpu_fit'] = round(limited(fit, limit)[1], 2)
            predicted, seconds = limited(partial(model.predict, given), limit)
            row |= fitted | dict(cpu_predict=round(seconds, 2), status='ok')
            row |= scores(y[test], predicted)
        except Stopped:
            row |= dict(status=f'stopped after {limit:g} CPU seconds')
        except Exception as error:
            traceback.print_exc()
            text = ' '.join(str(error).split())[:200]
            row |= dict(status=f'failed: {type(error).__name__}: {text}')
        yield row
        if row['status'] != 'ok' and not fitted:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', help='name of a file in models/, or several with commas')
    parser.add_argument('cohort', nargs='+', help='names of files in _data/')
    parser.add_argument('--out', type=Path, default=HERE / 'results.csv')
    parser.add_argument('--folds', type=int, help='only the first folds')
    parser.add_argument('--limit', type=float, default=300, help='CPU seconds of a fit')
    parser.add_argument('--again', action='store_true', help='compute folds that are there')
    options = parser.parse_args()
    warnings.simplefilter('ignore')
    sys.path.insert(0, str(HERE))
    about = dict(python=platform.python_version(), machine=machine())
    about['date'] = time.strftime('%Y-%m-%d')
    for model, cohort in product(options.model.split(','), options.cohort):
        run_cohort(about | dict(model=model, cohort=cohort), options)


def run_cohort(about, options):
    "All folds of a cohort; those that are in the results are left out"
    cohort, name = about['cohort'], about['model']
    try:
        Model = importlib.import_module(f'models.{name}').Model
    except ImportError as error:
        write(options.out, about | dict(fold=0, status=f'failed: {error}'))
        traceback.print_exc()
        return
    about['versions'] = versions(Model.packages)
    tables, y, test, absent = load(cohort)
    for fold, mask in enumerate(test[: options.folds]):
        rows = read(options.out)
        done = {
            (key[0], key[1], key[3])
            for key, row in rows.items()
            if not row['status'].startswith('failed')
        }
        if (cohort, name, str(fold)) in done and not options.again:
            continue

        for row in run_fold(Model, tables, y, mask, absent, fold, options.limit):
            write(options.out, about | row | dict(fold=fold))
            result = row.get('macro_f1', row['status'])
            lacking = f'without {row["missing"]}' if row['missing'] else 'complete'
            print(name, cohort, fold, lacking, result, flush=True)


if __name__ == '__main__':
    main()
