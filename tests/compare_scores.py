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
MACHINE = re.compile(
    r'\b(seconds?|s|ms|minutes|time|times|speed\w*|faster|MB|GB|memory)\b', re.IGNORECASE)
SKIPPED = re.compile(r'^(bench_|wall_times|.*_cost$)')


def numbers_in(value) -> list[float]:
    """Return the numbers of a cell such as 0.903 or '0.903 [0.873, 0.934]'."""
    text = '' if pd.isna(value) else str(value).replace('−', '-')
    return [float(found) for found in re.findall(r'(?<![\w.])[-+]?\d+\.?\d*(?:e-?\d+)?', text)]


def kind_of(column: pd.Series) -> str:
    """Return 'text', 'whole' or 'number'; text that contains decimals counts as numbers."""
    if pd.api.types.is_float_dtype(column):
        return 'number'
    if pd.api.types.is_integer_dtype(column):
        return 'whole'
    return 'number' if column.astype(str).str.contains(r'\d\.\d').mean() > .3 else 'text'


def choose_keys(old: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the columns that identify rows: text, and whole numbers if text is not enough."""
    kinds = {name: kind_of(old[name]) for name in names}
    keys = [name for name in names if kinds[name] == 'text']
    if not keys or old.duplicated(keys).any():
        keys = [name for name in names if kinds[name] != 'number']
    return keys


def with_keys(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Index a table by some columns, and number the rows that share all of them."""
    rows = table[keys].fillna('–').astype(str).agg(' | '.join, axis=1) if keys else pd.Series(
        'row', table.index)
    return table.set_index([rows, rows.groupby(rows).cumcount()])


def moved(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Return one line for each difference between two tables."""
    lines = [f'column {name!r} is gone' for name in old if name not in new]
    lines += [f'column {name!r} is new' for name in new if name not in old]
    shared = [name for name in old if name in new]
    keys = choose_keys(old, shared)
    values = [name for name in shared if name not in keys and not MACHINE.search(name)]
    old, new = with_keys(old, keys), with_keys(new, keys)
    lines += [f'row {row[0]!r} is gone' for row in old.index.difference(new.index)]
    lines += [f'row {row[0]!r} is new' for row in new.index.difference(old.index)]
    for row in old.index.intersection(new.index):
        for name in values:
            cells = old.at[row, name], new.at[row, name]
            before, after = map(numbers_in, cells)
            same = len(before) == len(after) and np.allclose(
                before, after, rtol=0, atol=TOLERANCE+1e-9)
            if not same:
                largest = max(np.abs(np.subtract(before, after)), default=0) if len(
                    before) == len(after) else np.nan
                lines.append(f'{row[0]}, {name}: {cells[0]} -> {cells[1]} ({largest:.4f})')
    return lines


def read(path: Path) -> pd.DataFrame:
    """Read a table, which may be empty."""
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def with_columns(table: pd.DataFrame, others: dict) -> list[str]:
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
            like = with_columns(table, added)
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
