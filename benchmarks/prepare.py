"""Write the cohorts and their folds as arrays, which every environment can read. Needs bmm."""

import os
import sys
from pathlib import Path

import numpy as np

from bmm import Splits, load_cohort
from bmm.data.multimedia import mfeat

DATA = Path(__file__).parent / '_data'
# Cohort -> repetitions of 5 folds, and the modality that is missing at prediction
PLAN = {
    'tcga-brca': (2, 'mRNA'),
    'breast': (2, 'protein'),
    'breast, own test': (0, 'protein'),
    'nutrimouse': (2, 'lipid'),
    'mfeat': (1, 'fac'),
}


def read(
    name: str,  # A key of `PLAN`
):  # The samples that have all modalities
    "A cohort below the folder that BMM_DATA names"
    root = Path(os.environ['BMM_DATA'])
    if name == 'tcga-brca':
        cohort = load_cohort('tcga-brca', root)
        return cohort.complete()
    if name == 'mfeat':
        return mfeat(root)
    folders = {'breast': 'breast_tcga_mixomics/train', 'nutrimouse': 'nutrimouse/diet'}
    return load_cohort(root / folders[name])


def own_test() -> (
    tuple
):  # Tables with NaN in the rows that lack one, labels, `(1, N)` test mask
    "The 150 tumours of mixOmics, then its 70 test tumours without protein"
    train = read('breast')
    test = load_cohort(Path(os.environ['BMM_DATA']) / 'breast_tcga_mixomics/test')
    tables = {}
    for m, table in train.modalities.items():
        rows = np.full((len(test), table.shape[1]), np.nan)
        if m in test.modalities:
            rows = test.modalities[m].loc[test.samples, table.columns].to_numpy()
        tables[m] = np.vstack([table.to_numpy(), rows])
    labels = np.concatenate([train.labels.to_numpy(), test.labels.to_numpy()])
    mask = np.arange(len(labels)) >= len(train)
    return tables, labels.astype(str), mask[None]


def write(
    name: str,  # A key of `PLAN`
):
    "One file: `X <modality>`, `y`, `test (R, N)`, `missing`"
    repeats, missing = PLAN[name]
    if repeats:
        cohort = read(name)
        tables = {m: table.to_numpy() for m, table in cohort.modalities.items()}
        labels = cohort.labels.to_numpy().astype(str)
        test = Splits(5, repeats).split(cohort).test
    else:
        tables, labels, test = own_test()
    arrays = {f'X {m}': X.astype(np.float32) for m, X in tables.items()}
    DATA.mkdir(exist_ok=True)
    np.savez(DATA / f'{name}.npz', y=labels, test=test, missing=missing, **arrays)
    sizes = ', '.join(f'{m} {X.shape[1]}' for m, X in tables.items())
    print(f'{name}: {len(labels)} samples, {len(test)} folds, {sizes}')


if __name__ == '__main__':
    for name in sys.argv[1:] or PLAN:
        write(name)
