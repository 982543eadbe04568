"""Compare the tables of two folders: `python tests/compare_scores.py OLD NEW`.

Rows are matched by their text columns and columns by name. Every number that has moved by
more than .002 is listed, except durations and memory. The reference is the folder `figures/`
of revision d2f4af6: `git worktree add REFERENCE d2f4af6`.
"""
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TOLERANCE = .002
MACHINE = re.compile(r'\b(seconds?|s|ms|minutes|time|times|speed\w*|faster|MB|GB|memory)\b', re.I)
SKIPPED = re.compile(r'^(bench_|wall_times|.*_cost$)')


def is_number(column: pd.Series) -> bool:
    """Return whether a column contains numbers other than whole ones, which name a row."""
    return pd.api.types.is_float_dtype(column)


def with_keys(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Index a table by some columns, and number the rows that share all of them."""
    parts = [table[key].astype(str) for key in keys]
    rows = pd.Series('', table.index).str.cat(parts, sep=' | ') if keys else pd.Series(
        'row', table.index)
    return table.set_index([rows, rows.groupby(rows).cumcount()])


def moved(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Return one line for each difference between two tables."""
    lines = [f'column {name!r} is gone' for name in old if name not in new]
    lines += [f'column {name!r} is new' for name in new if name not in old]
    shared = [name for name in old if name in new]
    numbers = [name for name in shared if is_number(old[name]) or is_number(new[name])]
    keys = [name for name in shared if name not in numbers]
    numbers = [name for name in numbers if not MACHINE.search(name)]
    old, new = with_keys(old, keys), with_keys(new, keys)
    lines += [f'row {row[0]!r} is gone' for row in old.index.difference(new.index)]
    lines += [f'row {row[0]!r} is new' for row in new.index.difference(old.index)]
    for row in old.index.intersection(new.index):
        for name in numbers:
            before, after = pd.to_numeric(
                pd.Series([old.loc[row, name], new.loc[row, name]]), errors='coerce')
            close = np.isclose(before, after, rtol=0, atol=TOLERANCE, equal_nan=True)
            if not close:
                change = after-before
                lines.append(f'{row[0]}, {name}: {before:.4g} -> {after:.4g} ({change:+.4f})')
    return lines


def read(path: Path) -> pd.DataFrame:
    """Read a table, which may be empty."""
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def renamed(name: str, table: pd.DataFrame, others: dict) -> list[str]:
    """Return the names of the other tables with the same columns."""
    return [other for other, columns in others.items() if columns == list(table)]


def main(old: Path, new: Path) -> int:
    """Print what has moved, and return how many tables have changed."""
    before = {path.name: read(path) for path in sorted(old.glob('*.csv'))}
    after = {path.name: read(path) for path in sorted(new.glob('*.csv'))}
    if not before:
        sys.exit(f'{old} contains no table.')
    added = {name: list(table) for name, table in after.items() if name not in before}
    changed = 0
    for name, table in before.items():
        if SKIPPED.match(name):
            continue
        if name not in after:
            like = renamed(name, table, added)
            lines = [f'the file is missing{f", perhaps renamed to {like}" if like else ""}']
        else:
            lines = moved(table, after[name])
        if lines:
            changed += 1
            print(f'\n{name}', *[f'  {line}' for line in lines], sep='\n')
    if added:
        print('\nNew files:', ', '.join(added))
    print(f'\n{len(before)} tables compared, {changed} have changed.')
    return changed


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(min(main(Path(sys.argv[1]), Path(sys.argv[2])), 1))
