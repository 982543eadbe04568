"""MOFA+ on the samples of training and test, and a logistic regression on its factors.

MOFA+ has no projection of new samples: it is trained anew with the features of the test
samples, whose missing modality is a missing block. Its guide asks for a selection of variable
features: the 2,000 of largest variance in the training rows.
"""

import numpy as np
from mofapy2.run.entry_point import entry_point
from models.quiet import quiet_folder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MOST = 2000


class Model:
    packages = ('mofapy2', 'scikit-learn')
    sees_test = True
    needs_all = ''

    def fit(self, tables, y, seed):
        self.columns = {m: np.argsort(-X.var(0))[:MOST] for m, X in tables.items()}
        self.columns = {m: c[tables[m][:, c].var(0) > 0] for m, c in self.columns.items()}
        self.tables, self.y, self.seed = tables, y, seed

    def factors(self, views):
        "Z `(N, K)` with the defaults of MOFA+: ten factors, at most 1,000 iterations"
        mofa = entry_point()
        mofa.set_data_options()
        # Copy numbers are whole numbers, which MOFA+ would take for counts.
        gaussian = ['gaussian'] * len(views)
        data = [[X] for X in views.values()]
        mofa.set_data_matrix(data, likelihoods=gaussian, views_names=list(views))
        mofa.set_model_options()
        mofa.set_train_options(seed=self.seed, quiet=True)
        mofa.build()
        mofa.run()
        return mofa.model.nodes['Z'].getExpectation()

    def predict(self, tables):
        n = len(next(iter(tables.values())))
        views = {}
        for m, columns in self.columns.items():
            X = self.tables[m]
            new = tables.get(m, np.full((n, X.shape[1]), np.nan))
            views[m] = np.vstack([X, new])[:, columns].astype(float)
        with quiet_folder():
            Z = self.factors(views)
        final = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        return final.fit(Z[: len(self.y)], self.y).predict(Z[len(self.y) :])
