"""One logistic regression a table, their held-out probabilities stacked (bmm)."""

from bmm.study import simple_rivals
from models.bmm_logistic_regression import Model as LogisticRegressionModel


class Model(LogisticRegressionModel):
    needs_all = 'the last model reads the probabilities of all tables'

    def make(self, cohort, seed):
        model, _ = simple_rivals(cohort, seed)['late fusion, stacking']
        return model
