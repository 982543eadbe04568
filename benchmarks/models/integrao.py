"""IntegrAO: fusion and alignment of the training rows, fine-tuning, prediction of new rows.

The steps are those of its tutorial on new samples with incomplete omics. The networks are
trained on training rows. At prediction the graph holds the new rows too.
"""

import os

import numpy as np
import pandas as pd
import torch
from integrao.integrater import integrao_integrater, integrao_predictor
from models.quiet import quiet_folder


def named(X, first=0):
    "Table with sample ids"
    return pd.DataFrame(X.astype(float), [f's{i}' for i in range(first, first + len(X))])


class Model:
    packages = ('integrao', 'torch', 'scikit-learn', 'pandas')
    sees_test = False
    needs_all = ''

    def fit(self, tables, y, seed):
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.names, self.classes = list(tables), int(y.max()) + 1
        self.scale = {m: (X.mean(0), np.maximum(X.std(0), 1e-9)) for m, X in tables.items()}
        self.train = {m: named(self.scaled(m, X)) for m, X in tables.items()}
        labels = pd.DataFrame({'label': y}, self.train[self.names[0]].index)
        with quiet_folder() as folder:
            parts = integrao_integrater(list(self.train.values()), 'benchmark', self.names)
            parts.network_diffusion()
            _, _, network = parts.unsupervised_alignment()
            torch.save(network.state_dict(), os.path.join(folder, 'model.pth'))
            *_, network, _ = parts.classification_finetuning(labels, folder)
        self.state = network.state_dict()

    def scaled(self, m, X):
        mean, sd = self.scale[m]
        return (X - mean) / sd

    def predict(self, tables):
        new = {m: named(self.scaled(m, X), 100_000) for m, X in tables.items()}
        both = [pd.concat([t, new[m]]) if m in new else t for m, t in self.train.items()]
        with quiet_folder() as folder:
            options = dict(num_classes=self.classes)
            parts = integrao_predictor(both, 'benchmark', self.names, **options)
            parts.network_diffusion()
            path = os.path.join(folder, 'model.pth')
            torch.save(self.state, path)
            codes = parts.inference_supervised(path, both, self.names)
        order = list(dict.fromkeys(s for table in both for s in table.index))
        samples = next(iter(new.values())).index
        return pd.Series(codes, order)[samples].to_numpy()
