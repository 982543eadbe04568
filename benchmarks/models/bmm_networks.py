"""The networks of bmm's default estimator, without the logistic regressions."""

from models.bmm_default import Model as DefaultModel


class Model(DefaultModel):
    fusion = 'network'
