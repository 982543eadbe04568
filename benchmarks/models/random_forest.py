"""scikit-learn's random forest on all columns; a missing modality is missing values."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier


def joined(tables, widths):
    "Columns of all modalities side by side; NaN where one is missing"
    n = len(next(iter(tables.values())))
    parts = [tables.get(m, np.full((n, d), np.nan)) for m, d in widths.items()]
    return np.hstack(parts)


class Model:
    packages = ('scikit-learn',)
    sees_test = False
    needs_all = ''

    def fit(self, tables, y, seed):
        self.widths = {m: X.shape[1] for m, X in tables.items()}
        self.forest = RandomForestClassifier(random_state=seed)
        self.forest.fit(joined(tables, self.widths), y)

    def predict(self, tables):
        return self.forest.predict(joined(tables, self.widths))
