"""MOGONET as published on PyPI; its test rows take part at prediction only.

The package reads a folder of tables. Its function for prediction returns the second of two
classes, so the same lines are repeated here for any number of classes. As in the MOGONET
paper, features are selected by ANOVA F inside the training rows and scaled to [0, 1].
"""

from pathlib import Path

import numpy as np
import torch
from mogonet.train_mogonet import train_mogonet
from models.quiet import quiet_folder
from sklearn.feature_selection import f_classif

MOST = 1000
# Of the MOGONET paper's code; the package has no defaults for these
EPOCHS = dict(num_epoch_pretrain=500, num_epoch=2500)
RATES = dict(lr_e_pretrain=1e-3, lr_e=5e-4, lr_c=1e-3)


class Model:
    packages = ('mogonet', 'torch')
    sees_test = False
    needs_all = 'its last network reads the classes of all views'

    def fit(self, tables, y, seed):
        self.tables, self.y, self.seed = tables, y, seed
        self.columns = {}
        for m, X in tables.items():
            F = np.nan_to_num(f_classif(X, y)[0], nan=-1)
            self.columns[m] = np.argsort(-F, kind='stable')[:MOST]

    def predict(self, tables):
        torch.manual_seed(self.seed)
        n = len(next(iter(tables.values())))
        with quiet_folder() as folder:
            self.write(Path(folder), 'tr', self.tables, self.y)
            self.write(Path(folder), 'te', tables, np.zeros(n))  # labels that are not read
            C = int(self.y.max()) + 1
            options = dict(view_list=list(self.columns), num_class=C)
            networks, test = train_mogonet(folder, **RATES, **EPOCHS, **options)
        views = []
        with torch.no_grad():
            for i, (X, graph) in enumerate(zip(test['data_list'], test['adj_list']), 1):
                views.append(networks[f'C{i}'].eval()(networks[f'E{i}'].eval()(X, graph)))
            logits = networks['C'].eval()(views)[test['test_idxs']]
        return logits.argmax(1).numpy()

    def write(self, folder, part, tables, y):
        for m, columns in self.columns.items():
            low, high = self.tables[m][:, columns].min(0), self.tables[m][:, columns].max(0)
            X = (tables[m][:, columns] - low) / np.maximum(high - low, 1e-9)
            np.savetxt(folder / f'{m}_{part}.csv', X, '%.6g', delimiter=',')
        np.savetxt(folder / f'labels_{part}.csv', y, '%d', delimiter=',')
