"""The report answers first, escapes names, and is one file."""
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bmm.classifier import BalancedClassifier
from bmm.report import Report, make_report, why_page

EVIL = '<img src=x onerror=alert(1)>'
FIRST = ['Simple models', 'Confusion matrix', 'Modalities', 'Calibration', 'Features',
         'Uncertain patients', 'Data']
UNWANTED = ['null99', 'labels replaced', 'nan', 'None', 'strong', 'weak', 'low']


class Elements(HTMLParser):
    """The elements of a page, and the text of its body."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ''
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Keep the name and the attributes of an element."""
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        """Keep the text between the elements."""
        self.text += data


def fit(classes, sizes, patients=48, **options):
    """Fit a small classifier whose first table tells the classes apart."""
    rng = np.random.default_rng(0)
    codes = np.arange(patients) % len(classes)
    index = [f'{EVIL} $a_$ {i}' for i in range(patients)]
    tables = {}
    for number, (name, width) in enumerate(sizes.items()):
        values = rng.normal(size=(patients, width))
        values[:, 0] += 3*codes*(number == 0)
        columns = [f'{EVIL} {name}{j}' for j in range(width)]
        tables[name] = pd.DataFrame(values, index, columns)
    labels = pd.Series(np.array(classes, object)[codes], index)
    options = dict(epochs=8, inner=3, seeds=2, random_state=0) | options
    return BalancedClassifier(**options).fit(tables, labels), tables


@pytest.fixture(scope='module')
def hostile():
    """A classifier all of whose names are HTML."""
    return fit([f'{EVIL} yes', 'a $b$ no'], {f'{EVIL}A': 6, 'b\\frac$': 4})


@pytest.mark.filterwarnings('ignore')
def test_page_answers_first_and_escapes(hostile):
    clf, _ = hostile
    report = make_report(clf, draws=50, command=f'bmm report {EVIL}')
    page = report.to_html()
    elements = Elements(page)
    images = [attributes for tag, attributes in elements.tags if tag == 'img']
    assert all(image['src'].startswith('data:image/png;base64,') for image in images)
    assert not any(name.startswith('on') for _, own in elements.tags for name in own)
    assert {'script', 'link', 'iframe'}.isdisjoint(tag for tag, _ in elements.tags)
    assert EVIL in elements.text and not re.search(r'(src|href|url)\W{1,2}http', page)
    assert page.index('Should one fuse?') < page.index('<h2>')
    titles = re.findall('<h2>(.*?)</h2>', page)
    assert titles[:len(FIRST)] == FIRST and titles[-2:] == ['Settings', 'Terms']
    assert [word for word in UNWANTED if re.search(rf'\b{word}\b', elements.text)] == []
    assert 'bmm report' in elements.text and 'Seed 0' in elements.text


@pytest.mark.filterwarnings('ignore')
def test_answers_agree_with_the_tables(hostile):
    clf, _ = hostile
    report = make_report(clf, draws=50)
    answers = {one.question: one.text for one in report.findings}
    models = report['Simple models'].set_index('model')
    assert f'accuracy {models.accuracy["the classifier"]:.2f}' in answers[
        'How good is it for patients like these?']
    adds = report['Modalities'].set_index('modality').adds
    assert adds.idxmax() in answers['Which modality carries it?']
    three = models[['better', 'equal', 'worse']].dropna().sum(axis=1)
    np.testing.assert_allclose(three, 1)
    assert len(report.patients) == len(clf.samples_)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('sizes, patients, options', [
    (dict(A=3), 48, {}),                             # one modality
    (dict(A=3, B=2), 6, dict(inner=2)),              # two patients of each class
    (dict(A=3, B=2, C=2, D=2), 48, dict(seeds=1)),   # four modalities, one network
    (dict(A=3, B=2), 48, dict(method='BMM')),        # a gate
    (dict(A=3, B=2), 48, dict(method='Concatenation', neighbour_weight=0., random_state=None)),
])
def test_kinds_of_classifiers(sizes, patients, options):
    clf, _ = fit(['x', 'y', 'z'], sizes, patients, **options)
    report = make_report(clf, draws=20)
    text = Elements(report.to_html()).text
    assert isinstance(report, Report) and 'nan' not in text.lower().split()
    assert ('Should one fuse?' in text) == (len(sizes) > 1)
    assert ('too few patients' in text) == (patients == 6)
    assert ('Gate' in text) == (options.get('method') == 'BMM')


@pytest.mark.filterwarnings('ignore')
def test_page_of_patients(hostile, tmp_path):
    clf, tables = hostile
    first, second = tables
    new = {first: tables[first].iloc[:3], second: tables[second].iloc[1:3]}
    path = why_page(clf, new, tmp_path/'why.html', top=3)
    elements = Elements(path.read_text(encoding='utf-8'))
    assert not any(tag == 'img' for tag, _ in elements.tags)
    assert elements.text.count('Predicted: ') == 3
    assert elements.text.count('Not measured: b\\frac$') == 1
