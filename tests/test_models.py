"""A model file is whole or refused, holds no more than prediction needs, and executes nothing."""
import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TINY = dict(epochs=4, seeds=1, inner=2, K=5, components=5)


def make_tables(n=40, seed=0):
    """Return two tables of patients with two classes, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    ids = [f'patient-{i:03d}' for i in range(n)]
    tables = {}
    for name, width in (('genes', 8), ('proteins', 6)):
        values = rng.normal(size=(n, width)) + 1.5*y[:, None]
        tables[name] = pd.DataFrame(values, ids, [f'{name}{j}' for j in range(width)])
    return tables, pd.Series(np.where(y, 'ill', 'well'), ids)


def fit(**options):
    """Return a small classifier, fitted."""
    from bmm.classifier import BalancedClassifier

    return BalancedClassifier(**{**TINY, **options}).fit(*make_tables())


def probabilities(clf):
    """Return predictions for new patients, some of whom lack a table."""
    new, _ = make_tables(12, seed=1)
    new['proteins'] = new['proteins'].iloc[3:]
    return clf.predict_proba(new)


def refusal(path):
    """Return the sentence with which a file is refused."""
    from bmm.classifier import load_classifier
    from bmm.core import DataError

    with pytest.raises(DataError) as caught:
        load_classifier(path)
    sentence = str(caught.value)
    assert '\n' not in sentence and str(path) in sentence
    return sentence


@pytest.fixture(scope='module')
def clf():
    return fit()


@pytest.fixture
def file(clf, tmp_path):
    return clf.save(tmp_path/'model.bmm')


def test_the_same_predictions_after_reading(clf, file):
    from bmm.classifier import load_classifier

    np.testing.assert_allclose(probabilities(load_classifier(file)), probabilities(clf),
                               atol=1e-5)


@pytest.mark.parametrize('options', [
    dict(method='BMM'), dict(method='IBML'), dict(method='MLA'), dict(method='MMCosine'),
    dict(method='Uncertainty weighting'), dict(method='Late fusion'), dict(hidden=()),
    dict(neighbour_weight=0.), dict(features='pca'), dict(features='autoencoder'),
    dict(features={'genes': 'ranks', 'proteins': 'z-scored pca'}), dict(seeds=2)], ids=str)
def test_every_kind_of_model(options, tmp_path):
    from bmm.classifier import load_classifier

    clf = fit(**options)
    loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
    np.testing.assert_allclose(probabilities(loaded), probabilities(clf), atol=1e-5)
    given, found = (model.get_params() for model in (clf, loaded))
    assert repr(found) == repr(given)


def test_an_instance_of_a_method(tmp_path):
    from bmm.balance.bmm import BMM, LossWeights
    from bmm.balance.ibml import IBML
    from bmm.classifier import load_classifier

    for method in (BMM(LossWeights(alpha=.2), distillation=None), IBML(prior='empirical')):
        clf = fit(method=method)
        loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
        np.testing.assert_allclose(probabilities(loaded), probabilities(clf), atol=1e-5)
        assert type(loaded.method) is type(method)


def test_a_method_of_ones_own_is_refused_and_the_older_file_stays(file):
    from bmm.core import DataError
    from bmm.models.training import Method

    class Own(Method):
        """Code that a file cannot hold."""

    before = file.read_bytes()
    with pytest.raises(DataError, match='Own is not one of bmm'):
        fit(method=Own()).save(file)
    assert file.read_bytes() == before


def test_one_table_and_types_of_labels(tmp_path):
    from bmm.classifier import BalancedClassifier, load_classifier, side_by_side

    tables, labels = make_tables()
    table, groups = side_by_side(tables)
    for ill, well in ((True, False), (7, -1), (1., 2.), ('ä', 'b')):
        own = np.array([ill if label == 'ill' else well for label in labels])
        clf = BalancedClassifier(modalities=groups, **TINY).fit(table, own)
        loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
        found = loaded.predict(table.iloc[:, ::-1])
        np.testing.assert_array_equal(found, clf.predict(table))
        assert loaded.classes_.dtype == clf.classes_.dtype


def test_bit_flips_never_load(clf, file):
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    header = int.from_bytes(data[:8], 'little')
    places = [*range(200), *rng.integers(0, header, 200), *rng.integers(0, len(data), 200)]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        refusal(file)
    for length in (0, 1, 8, 100, header, len(data) - 1):
        file.write_bytes(data[:length])
        refusal(file)


class Marker:
    """An object that writes a file when its pickle is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_reading_executes_nothing(clf, tmp_path):
    trap, file = tmp_path/'executed', tmp_path/'model.pkl'
    file.write_bytes(pickle.dumps(Marker(trap)))
    assert 'pickle' in refusal(file)
    assert not trap.exists()
    pickle.loads(file.read_bytes())
    assert trap.exists()    # so the trap would have worked


def test_an_older_pickle_gets_the_way_to_a_new_file(clf, tmp_path):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        file = tmp_path/'model.pkl'
        file.write_bytes(pickle.dumps(clf, protocol))
        sentence = refusal(file)
        assert 'fit again' in sentence and 'bmm fit' in sentence and '0.2' in sentence


def test_content_made_by_others_is_refused(clf, file):
    from bmm.classifier import pack_classifier
    from bmm.model_files import write_model

    content, arrays = pack_classifier(clf)
    N = len(clf.samples_)
    edges = np.full_like(arrays['edges/first'], 10**6)
    wrong = [
        (content, {}),
        (content, {**arrays, 'edges/first': edges}),
        (content, {**arrays, 'views/0/fitted': arrays['views/0/fitted'][1:]}),
        (content, {**arrays, 'networks/0/encoders.0.layers.0.weight': np.zeros((1, 3, 2))}),
        ({}, arrays), ([], arrays), ({**content, 'counts': [10**7, N]}, arrays),
        ({**content, 'classes': dict(type='O', values=[])}, arrays),
        ({**content, 'parameters': {**content['parameters'], 'os.system': 'ls'}}, arrays)]
    for name in ('os.system', 'BalancedClassifier', '__import__'):
        method = {'class': name, 'options': {}}
        joint = {**content['joint'], 'method': method}
        wrong.append(({**content, 'joint': joint}, arrays))
    for case in wrong:
        write_model(file, *case)
        assert 'not made by bmm' in refusal(file)


def test_saving_twice_gives_the_same_bytes(clf, file, tmp_path):
    from bmm.classifier import load_classifier

    data = file.read_bytes()
    assert clf.save(tmp_path/'again.bmm').read_bytes() == data
    assert fit().save(tmp_path/'fitted_again.bmm').read_bytes() == data
    assert load_classifier(file).save(tmp_path/'read_again.bmm').read_bytes() == data
    other = tmp_path/'other_process.bmm'
    environment = {**os.environ, 'PYTHONHASHSEED': '7'}
    subprocess.run([sys.executable, __file__, str(other)], check=True, env=environment)
    assert other.read_bytes() == data


@pytest.mark.parametrize('step', ['fsync', 'replace', 'fdopen'])
def test_a_failing_save_keeps_the_older_file(clf, file, monkeypatch, step):
    from bmm.core import DataError

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    monkeypatch.setattr(os, step, full)
    with pytest.raises(DataError, match='No space left'):
        clf.save(file, keep_ids=True)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_what_a_file_holds(clf, file, tmp_path):
    from bmm.classifier import load_classifier
    from bmm.core import DataError

    data = file.read_bytes()
    assert b'patient-' not in data
    tables, _ = make_tables()
    for table in tables.values():
        for values in (table.to_numpy(), table.to_numpy(np.float32)):
            assert values[3].tobytes() not in data
    if os.name == 'posix':
        assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DataError, match='keep_tables=True'):
        load_classifier(file).report()
    with_ids = load_classifier(clf.save(tmp_path/'ids.bmm', keep_ids=True))
    assert list(with_ids.samples_) == list(clf.samples_)


def test_a_report_from_a_file_with_tables(clf, tmp_path):
    from bmm.classifier import load_classifier

    loaded = load_classifier(clf.save(tmp_path/'model.bmm', keep_tables=True))
    given, found = (model.report(draws=20, top=2).table() for model in (clf, loaded))
    for column in ('section', 'quantity'):
        assert list(found[column]) == list(given[column])


def test_new_patients_are_served_in_blocks(clf):
    from bmm.classifier import BLOCK

    n = 2*BLOCK + 3
    new, _ = make_tables(n, seed=2)
    new['proteins'] = new['proteins'].iloc[5:]
    together = clf.predict_proba(new)
    some = [0, 4, 5, BLOCK, n - 1]
    few = {m: t.loc[t.index.intersection(new['genes'].index[some])] for m, t in new.items()}
    np.testing.assert_allclose(clf.predict_proba(few), together[some], atol=1e-5)


def test_scikit_learn_can_still_copy_a_classifier(clf):
    from sklearn.base import clone

    copied = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(probabilities(copied), probabilities(clf))
    assert repr(clone(copied).get_params()) == repr(clf.get_params())


if __name__ == '__main__':
    fit().save(sys.argv[1])


def test_order_of_the_tables_does_not_matter(clf):
    """Rows, columns and tables in another order give the same model."""
    from bmm.classifier import BalancedClassifier

    rng = np.random.default_rng(3)
    tables, labels = make_tables()
    turned = {}
    for name in reversed(tables):
        rows, columns = map(rng.permutation, tables[name].shape)
        turned[name] = tables[name].iloc[rows, columns]
    other = BalancedClassifier(**TINY).fit(turned, labels.iloc[rng.permutation(len(labels))])
    pd.testing.assert_frame_equal(pd.DataFrame(probabilities(other)), pd.DataFrame(probabilities(clf)))
