"""scikit-learn's histogram gradient boosting on the 100 columns of largest ANOVA F."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import f_classif

from models.random_forest import joined


class Model:
    packages = ('scikit-learn',)
    sees_test = False
    needs_all = ''

    def fit(self, tables, y, seed):
        self.widths = {m: X.shape[1] for m, X in tables.items()}
        X = joined(tables, self.widths)
        F = np.nan_to_num(f_classif(X, y)[0], nan=-1)
        self.columns = np.argsort(-F, kind='stable')[:100]
        self.trees = HistGradientBoostingClassifier(random_state=seed)
        self.trees.fit(X[:, self.columns], y)

    def predict(self, tables):
        return self.trees.predict(joined(tables, self.widths)[:, self.columns])
