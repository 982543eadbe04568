from .balance.bmm import BMM as BMM
from .balance.ibml import IBML as IBML
from .balance.registry import methods as methods
from .classifier import BalancedClassifier as BalancedClassifier
from .data.cohort import Cohort as Cohort
from .data.datasets import load_cohort as load_cohort
from .data.readers import read_cohort as read_cohort
from .data.splits import Splits as Splits
from .evaluation import Baseline as Baseline
from .evaluation import compare as compare
from .evaluation import cross_validate as cross_validate
from .graph.snf import SNF as SNF
from .models.joint import Joint as Joint
from .models.rgcn import RGCN as RGCN
from .study import Study as Study

__version__: str
