"""bmm's default estimator."""

import pandas as pd

from bmm import BalancedClassifier


def frames(tables, first=0):
    "Tables with sample ids and feature names"
    named = {}
    for m, X in tables.items():
        rows = [f's{i}' for i in range(first, first + len(X))]
        named[m] = pd.DataFrame(X, rows, [f'{m}{j}' for j in range(X.shape[1])])
    return named


class Model:
    packages = ('bmm', 'torch')
    sees_test = False
    needs_all = ''
    fusion = 'stacked'

    def fit(self, tables, y, seed):
        named = frames(tables)
        samples = next(iter(named.values())).index
        self.classifier = BalancedClassifier(fusion=self.fusion, random_state=seed)
        self.classifier.fit(named, pd.Series(y, samples))

    def predict(self, tables):
        return self.classifier.predict(frames(tables, first=100_000))
