"""mvlearn's MCCA, and a logistic regression on the scores of all views.

The defaults (one component, no regularisation) stop at a singular matrix where a view has
more features than there are samples. Its error names the remedy, which is used here.
"""

import numpy as np
from mvlearn.embed import MCCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class Model:
    packages = ('mvlearn', 'scikit-learn', 'numpy')
    sees_test = False
    needs_all = 'MCCA transforms all views at once'

    def fit(self, tables, y, seed):
        self.scalers = {m: StandardScaler().fit(X) for m, X in tables.items()}
        ranks = [min(50, X.shape[1], len(X) - 1) for X in tables.values()]
        self.mcca = MCCA(n_components=10, signal_ranks=ranks, regs='lw')
        self.mcca.fit(self.scaled(tables))
        self.final = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self.final.fit(self.scores(tables), y)

    def scaled(self, tables):
        return [scaler.transform(tables[m]) for m, scaler in self.scalers.items()]

    def scores(self, tables):
        return np.hstack(list(self.mcca.transform(self.scaled(tables))))

    def predict(self, tables):
        return self.final.predict(self.scores(tables))
