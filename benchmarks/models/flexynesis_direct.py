"""flexynesis: DirectPred (intermediate fusion) with the feature selection of its command.

Ten settings are tried, the default of `HyperparameterTuning`; the command's default is 100.
The package reads the tables of training and test together, keeps features that vary in both,
and so test samples take part in the preparation. Their labels are placeholders.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from flexynesis.data import DataImporter
from flexynesis.main import HyperparameterTuning
from flexynesis.models.direct_pred import DirectPred
from models.quiet import quiet_folder

SELECTION = dict(min_features=500, top_percentile=20, correlation_threshold=0.8)


class Model:
    packages = ('flexynesis', 'torch', 'lightning')
    sees_test = True
    needs_all = 'its importer requires a file for each modality'

    def fit(self, tables, y, seed):
        self.tables, self.y, self.seed = tables, y, seed

    def write(self, folder, tables, y):
        folder.mkdir()
        samples = [f'{folder.name}{i}' for i in range(len(y))]
        for m, X in tables.items():
            pd.DataFrame(X.T, [f'{m}{j}' for j in range(X.shape[1])], samples).to_csv(
                folder / f'{m}.csv'
            )
        labels = [f'c{code}' for code in y]
        pd.DataFrame({'label': labels}, samples).to_csv(folder / 'clin.csv')

    def predict(self, tables):
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)
        logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
        n = len(next(iter(tables.values())))
        with quiet_folder() as folder:
            self.write(Path(folder) / 'train', self.tables, self.y)
            self.write(Path(folder) / 'test', tables, np.resize(np.unique(self.y), n))
            train, test = DataImporter(folder, list(tables), **SELECTION).import_data()
            options = dict(early_stop_patience=10, device_type='cpu', num_workers=0)
            tuning = HyperparameterTuning(
                train, DirectPred, 'DirectPred', ['label'], **options
            )
            network, _ = tuning.perform_tuning(hpo_patience=20)
            proba = np.asarray(network.predict(test)['label'])
        codes = [train.label_mappings['label'][k][1:] for k in proba.argmax(1)]
        found = pd.Series(codes, test.samples).astype(int)
        return found[[f'test{i}' for i in range(n)]].to_numpy()
