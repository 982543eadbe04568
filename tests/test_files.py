"""Real files and tables: what is read, what is refused with a sentence, and what is said."""
import bz2
import time
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from bmm.core import DataError
from bmm.data.cohort import Cohort
from bmm.data.readers import from_mudata, read_cohort, read_table, tables_in, write_mogonet

SAMPLES = [f'P{i:02}' for i in range(30)]


def make_tables(samples=SAMPLES):
    """Two tables of the same samples and three classes."""
    rng = np.random.default_rng(0)
    tables = {}
    for name, columns in dict(mRNA=5, RPPA=4).items():
        names = [f'{name}_g{j}' for j in range(columns)]
        tables[name] = pd.DataFrame(rng.normal(size=(len(samples), columns)), samples, names)
    labels = pd.Series(np.array(['A', 'B', 'C'])[np.arange(len(samples)) % 3], samples)
    return tables, labels.rename('label')


@pytest.fixture
def tables():
    return make_tables()[0]


@pytest.fixture
def labels():
    return make_tables()[1]


@pytest.fixture
def folder(tmp_path, tables, labels):
    """A folder as a user has it."""
    labels.rename_axis('sample').to_csv(tmp_path/'labels.csv')
    for name, table in tables.items():
        table.rename_axis('sample').to_csv(tmp_path/f'{name}.csv')
    return tmp_path


def said(action):
    """Return the result of an action, and all that it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        result = action()
    return result, [str(warning.message) for warning in caught]


def assert_read(folder, tables, labels, **options):
    """Check that a folder gives these tables and labels; return the cohort."""
    cohort = read_cohort(folder, **options)
    assert sorted(cohort.modalities) == sorted(tables)
    for name, table in tables.items():
        expected = table.loc[list(cohort.samples)]
        np.testing.assert_allclose(cohort.array(name), expected, rtol=1e-6)
        assert list(cohort.modalities[name].columns) == list(table.columns)
    assert cohort.labels.tolist() == labels.loc[list(cohort.samples)].tolist()
    return cohort


# Files in a folder

def capitals(file):
    file.rename(file.with_suffix('.CSV'))


def zipped(file):
    with zipfile.ZipFile(f'{file}.zip', 'w') as packed:
        packed.write(file, file.name)
    file.unlink()


def bzipped(file):
    (file.parent/f'{file.name}.bz2').write_bytes(bz2.compress(file.read_bytes()))
    file.unlink()


def without_suffix(file):
    file.rename(file.with_suffix(''))


@pytest.mark.parametrize('change', [capitals, zipped, bzipped, without_suffix])
def test_forms_that_are_read(change, folder, tables, labels):
    change(folder/'mRNA.csv')
    assert_read(folder, tables, labels)


@pytest.mark.parametrize('suffix', ['.xlsx', '.RDS', '.h5mu', '.feather', '.pkl'])
def test_forms_that_are_not_read_are_named(suffix, folder):
    (folder/'mRNA.csv').rename(folder/f'mRNA{suffix}')
    cohort, warned = said(lambda: read_cohort(folder))
    assert list(cohort.modalities) == ['RPPA']
    [note] = [note for note in cohort.notes if f'mRNA{suffix}' in note]
    assert 'is not read: ' in note      # and a remedy
    assert note in warned
    assert note in said(lambda: tables_in(folder))[1]      # at predict


STRANGERS = {
    'README.txt': 'Data from our lab.\nTwo tables.\n',
    'readme': 'Data from our lab, measured twice.\nTwo tables.\n',
    'MANIFEST.txt': 'id\tfilename\tmd5\nab-1\tx.tsv\tffff\n',
    'gdc_sample_sheet.tsv': 'id\tfilename\nab-1\tx.tsv\n',
    'genes.txt': 'TP53\nESR1\nERBB2\n',
    'panel.csv': 'gene\nTP53\nESR1\n',
    'about.txt': 'We measured four proteins.\nSee the paper for details of it.\n',
    'annotation.tsv': 'gene\tband\nTP53\t17p13\nESR1\t6q25\n',
}


@pytest.mark.parametrize('name', STRANGERS)
def test_strangers_are_left_out_and_named(name, folder, tables, labels):
    (folder/name).write_text(STRANGERS[name])
    cohort, warned = said(lambda: assert_read(folder, tables, labels))
    assert [note for note in cohort.notes if f'not read: {name} (' in note]
    assert [note for note in warned if f'not read: {name} (' in note]


def test_modalities_choose(folder, tables, labels):
    (folder/'other.csv').write_text('x,y\nz,1\n')
    cohort = assert_read(folder, {'RPPA': tables['RPPA']}, labels, modalities='RPPA')
    assert 'not asked for: mRNA.csv, other.csv' in cohort.notes
    with pytest.raises(DataError, match='modalities names rppa, .* there are .*RPPA'):
        read_cohort(folder, modalities=['rppa'])


def test_features_in_rows_takes_existing_names(folder):
    with pytest.raises(DataError, match='features_in_rows names mrna'):
        read_cohort(folder, features_in_rows=['mrna'])


def test_features_in_rows_are_recognised(folder, tables, labels):
    tables['mRNA'].T.rename_axis('gene').to_csv(folder/'mRNA.csv')
    cohort = assert_read(folder, tables, labels)
    assert [note for note in cohort.notes if 'mRNA: features in rows' in note]


def test_mogonets_layout_is_recognised(tmp_path, tables, labels):
    train = np.arange(30) < 20
    write_mogonet(Cohort(tables, labels), tmp_path/'split', train)
    cohort = read_cohort(tmp_path/'split', modalities='2')
    np.testing.assert_allclose(cohort.array('2'), tables['RPPA'], rtol=1e-5)
    assert cohort.labels.tolist() == labels.map(dict(A='0', B='1', C='2')).tolist()


def test_single_tables_of_xena(tmp_path):
    rows = [f'TCGA-A1-A0{i:02}-01' for i in range(30)]
    tables, labels = make_tables(rows)
    for name, table in dict(HiSeqV2=tables['mRNA'], RPPA=tables['RPPA']).items():
        path = tmp_path/f'TCGA.BRCA.sampleMap%2F{name}.gz'
        table.T.rename_axis('sample').to_csv(path, sep='\t', compression='gzip')
    clinical = labels.to_frame('PAM50').assign(age=50)
    clinical.loc[rows[0], 'PAM50'] = None
    clinical.to_csv(tmp_path/'BRCA_clinicalMatrix', sep='\t')
    expected = {'HiSeqV2': tables['mRNA'], 'RPPA': tables['RPPA']}
    options = dict(label_column='PAM50', unmatched='drop')
    cohort = assert_read(tmp_path, expected, labels, **options)
    assert 'labels: 1 sample without a class left out (TCGA-A1-A000-01)' in cohort.notes
    assert len(cohort) == 29


# Separators, headers, encodings

def written(frame, path, **options):
    frame.rename_axis('sample').to_csv(path, **options)


@pytest.mark.parametrize('separator, extra, quoting', [
    (',', ';P1;P2', 1), (',', ';P1;P2', 0), ('\t', ',a,b', 0), (';', ',a', 0), (',', '\nx', 0),
    (',', '"q', 0), ('\t', ';x,y', 1)])
def test_names_hold_separators(separator, extra, quoting, folder, tables, labels):
    tables['mRNA'] = tables['mRNA'].rename(columns=lambda name: name + extra)
    written(tables['mRNA'], folder/'mRNA.csv', sep=separator, quoting=quoting)
    assert_read(folder, tables, labels)


def test_decimal_commas_are_named(folder, tables):
    written(tables['mRNA'], folder/'mRNA.csv', sep=';', decimal=',')
    with pytest.raises(DataError, match='mRNA: .* decimal point instead of a comma'):
        read_cohort(folder)


def test_blanks_between_columns_are_named(folder, tables):
    written(tables['mRNA'], folder/'mRNA.csv', sep=' ')
    with pytest.raises(DataError, match='no tab, comma or semicolon .*blanks separate them'):
        read_cohort(folder)


@pytest.mark.parametrize('name', ['mRNA', 'labels'])
def test_a_missing_header_is_named(name, folder):
    lines = (folder/f'{name}.csv').read_text().splitlines(keepends=True)
    (folder/f'{name}.csv').write_text(''.join(lines[1:]))
    with pytest.raises(DataError, match=f'{name}.csv: the first line is a row of values'):
        read_cohort(folder)


@pytest.mark.parametrize('first', [0, 1])
def test_row_numbers_are_no_ids(first, tmp_path):
    tables, labels = make_tables(range(1001, 1031))
    numbers = pd.RangeIndex(first, first + 30)
    mixed = labels.to_frame().sample(frac=1, random_state=0)
    for name, frame in {**tables, 'labels': mixed}.items():
        rows = frame.rename_axis('patient').reset_index().set_axis(numbers)
        rows.to_csv(tmp_path/f'{name}.csv')
    text = {name: table.set_axis(table.index.astype(str)) for name, table in tables.items()}
    own = labels.set_axis(labels.index.astype(str))
    cohort, warned = said(lambda: assert_read(tmp_path, text, own))
    for name in ('labels', 'mRNA', 'RPPA'):
        [note] = [note for note in warned if note.startswith(f'{name}.csv: the first column')]
        assert "the ids are taken from 'patient'" in note and note in cohort.notes


def test_numbers_that_may_be_ids_are_asked_about(folder, tables):
    counts = tables['mRNA'].assign(reads=range(100, 130)).reset_index(drop=True)
    counts[['reads', *tables['mRNA']]].to_csv(folder/'mRNA.csv')
    with pytest.raises(DataError, match='counts the rows, .*reads.* may hold the ids'):
        read_cohort(folder)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'latin-1', 'cp1252'])
def test_encodings(encoding, folder, tables, labels):
    tables['mRNA'] = tables['mRNA'].rename(columns={'mRNA_g0': 'TGF-ß'})
    written(tables['mRNA'], folder/'mRNA.csv', encoding=encoding)
    if encoding in ('utf-8-sig', 'utf-16'):
        assert_read(folder, tables, labels)
    else:
        with pytest.raises(DataError, match='mRNA.csv: .*save it as UTF-8'):
            read_cohort(folder)


@pytest.mark.parametrize('word', ['NA', 'None', 'nan', 'null'])
def test_words_for_gaps_are_names(word, folder, tables, labels):
    labels = labels.rename({'P07': word}).replace({'A': word})
    tables = {name: table.rename({'P07': word}) for name, table in tables.items()}
    tables['mRNA'] = tables['mRNA'].rename(columns={'mRNA_g0': word})
    written(tables['mRNA'].T, folder/'mRNA.csv')
    written(tables['RPPA'], folder/'RPPA.csv')
    written(labels, folder/'labels.csv')
    assert_read(folder, tables, labels)


@pytest.mark.parametrize('frame, message', [
    (pd.DataFrame(dict(birth=pd.date_range('1950', periods=30)), SAMPLES), 'birth: dates'),
    (pd.DataFrame(dict(stay=pd.to_timedelta(np.arange(30), 'D')), SAMPLES), 'stay: durations'),
    (pd.DataFrame(dict(phase=np.arange(30)*1j), SAMPLES), 'phase: complex'),
    (pd.DataFrame(dict(born=[pd.Timestamp('1950').date()]*30), SAMPLES), 'born: dates'),
    (pd.DataFrame(dict(big=1e8 + np.arange(30)/10), SAMPLES), 'float32 does not keep .big'),
    (pd.DataFrame(dict(key=10**17 + np.arange(30)), SAMPLES), 'float32 does not keep .key'),
    (pd.DataFrame(np.eye(30), SAMPLES, pd.MultiIndex.from_product([['x'], range(30)])), 'levels'),
    (pd.DataFrame(np.eye(30), pd.MultiIndex.from_product([['x'], SAMPLES])), 'levels'),
])
def test_values_that_are_refused(frame, message, labels):
    with pytest.raises(DataError, match=f'clinical: .*{message}'):
        Cohort({'clinical': frame}, labels)


# Ids and labels

@pytest.mark.parametrize('spelling', [
    'tcga.a1.a0{:02}', 'TCGA-A1-A0{:02}-01', 'TCGA-A1-A0{:02}-01A-12R', 'TCGA.A1.A0{:02}.01B'])
def test_barcodes_are_spellings(spelling, labels):
    rows = [f'TCGA-A1-A0{i:02}' for i in range(30)]
    tables, labels = make_tables(rows)
    ids = [spelling.format(i) for i in range(30)]
    cohort = Cohort({m: table.set_axis(ids)[::-1] for m, table in tables.items()}, labels)
    assert list(cohort.samples) == rows
    np.testing.assert_allclose(cohort.array('mRNA'), tables['mRNA'], rtol=1e-6)
    assert [note for note in cohort.notes if '30 ids written in another way' in note]


def test_normal_tissue_is_not_the_tumour():
    rows = [f'TCGA-A1-A0{i:02}' for i in range(30)]
    tables, labels = make_tables(rows)
    normal = tables['mRNA'].set_axis([f'{row}-11A' for row in rows])
    with pytest.raises(DataError, match='none of its 30 samples has a label'):
        Cohort({'mRNA': normal}, labels)


@pytest.mark.parametrize('kind', [int, float, str, object, 'Int64', 'category'])
def test_numbers_and_their_text_are_one_id(kind, labels):
    tables, labels = make_tables(range(30))
    other = labels.set_axis(pd.Index(range(30)).astype(kind))[::-1]
    cohort = Cohort(tables, other)
    assert list(cohort.samples) == [str(i) for i in range(30)][::-1]
    assert cohort.labels.tolist() == labels.tolist()[::-1]
    np.testing.assert_allclose(cohort.array('mRNA'), tables['mRNA'][::-1], rtol=1e-6)


def test_blanks_around_ids_and_labels(folder, tables, labels):
    table = tables['mRNA'].rename({'P07': ' P07 '})
    other = labels.copy()
    other.iloc[[0, 3]] = 'A '
    cohort = Cohort({'mRNA': table}, other)
    assert list(cohort.classes) == ['A', 'B', 'C']
    assert [note for note in cohort.notes if 'mRNA: 1 sample id with blanks around' in note]
    assert [note for note in cohort.notes if 'labels: 2 class names with blanks around' in note]


@pytest.mark.parametrize('one, other', [('1', '1.0'), ('LumA', 'luma'), ('a b', 'a  b')])
def test_classes_that_are_alike(one, other, tables):
    labels = pd.Series(['x', one, other]*10, SAMPLES)
    cohort, warned = said(lambda: Cohort(tables, labels))
    [note] = [note for note in cohort.notes if 'are alike' in note]
    assert repr(one) in note and repr(other) in note and note in warned


@pytest.mark.parametrize('kind', [int, float, object, 'category', 'Int64', str])
def test_labels_of_any_type_are_the_same(kind, tables):
    codes = pd.Series(np.arange(30) % 3, SAMPLES)
    assert Cohort(tables, codes.astype(kind)).labels.tolist() == codes.astype(str).tolist()


def test_a_copy_of_the_label_is_named(tables, labels):
    tables['RPPA'] = tables['RPPA'].assign(code=labels.map(dict(A=3., B=1, C=2)))
    cohort, warned = said(lambda: Cohort(tables, labels))
    [note] = [note for note in warned if 'tells all classes apart' in note]
    assert 'RPPA: 1 feature alone' in note and '(code)' in note and note in cohort.notes


# Containers

@pytest.fixture
def anndata():
    pytest.importorskip('mudata')
    return pytest.importorskip('anndata')


def annotated(table):
    import anndata
    rows = pd.DataFrame(index=table.index.astype(object))
    columns = pd.DataFrame(index=table.columns.astype(object))
    return anndata.AnnData(table.to_numpy(np.float32), rows, columns)


def test_anndata_and_arrow_in_a_dict(anndata, tables, labels):
    import pyarrow
    arrow = pyarrow.Table.from_pandas(tables['RPPA'].rename_axis('sample').reset_index())
    arrow = arrow.replace_schema_metadata(None)      # as another program writes it
    cohort = Cohort({'mRNA': annotated(tables['mRNA']), 'RPPA': arrow}, labels)
    for name, table in tables.items():
        np.testing.assert_allclose(cohort.array(name), table, rtol=1e-6)


def test_values_in_layers_only(anndata, tables, labels):
    data = annotated(tables['mRNA'])
    data.layers['counts'] = data.X
    data.X = None
    with pytest.raises(DataError, match='no X, and layers counts; choose one'):
        Cohort({'mRNA': data}, labels)


@pytest.mark.parametrize('make', [
    lambda tables: list(tables.values()), lambda tables: [t.to_numpy() for t in tables.values()],
    lambda tables: tables['mRNA'], lambda tables: {'mRNA': tables['mRNA'].to_numpy()},
    lambda tables: {'mRNA': tables['mRNA'].to_dict()}, lambda tables: {}])
def test_other_containers_get_a_sentence(make, tables, labels):
    with pytest.raises(DataError, match='expected a (dict of name -> )?DataFrame'):
        Cohort(make(tables), labels)


@pytest.mark.parametrize('name, content', [('a.h5mu', b'hello'), ('a.h5ad', b'hello'),
                                           ('a.h5mu', b'MuData (format-version=1)')])
def test_wrong_files_of_mudata(name, content, anndata, tmp_path):
    (tmp_path/name).write_bytes(content)
    with pytest.raises(DataError, match=f'{name}: not a whole'):
        from_mudata(tmp_path/name)


@pytest.mark.parametrize('name', ['a.csv.gz', 'a.csv.zip', 'a.npz'])
def test_packed_files_that_are_too_large(name, tmp_path, monkeypatch):
    from bmm.data import readers

    zeros = np.zeros((100, 100))
    path = tmp_path/name
    if name.endswith('npz'):
        ids = np.arange(100).astype(str)
        np.savez_compressed(path, X=zeros, samples=ids, features=ids)
    else:
        pd.DataFrame(zeros).to_csv(path)
    monkeypatch.setattr(readers, 'LARGEST', 10**4)
    with pytest.raises(DataError, match='unpacks to more than'):
        read_table(path)


def test_links_to_other_files_are_refused(anndata, tables, tmp_path):
    import h5py

    data = annotated(tables['mRNA'])
    for name in ('inside', 'outside', 'linked'):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with pd.option_context('future.infer_string', False):
                data.write_h5ad(tmp_path/f'{name}.h5ad')
    assert read_table(tmp_path/'inside.h5ad').shape == (30, 5)
    with h5py.File(tmp_path/'linked.h5ad', 'a') as file:
        del file['X']
        file['X'] = h5py.ExternalLink('outside.h5ad', 'X')
    with pytest.raises(DataError, match='link to another file'):
        read_table(tmp_path/'linked.h5ad')


def cpu_seconds(function):
    """CPU seconds of the faster of two calls, and what the function returns."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return min(seconds), result


@pytest.fixture(scope='module')
def wide(tmp_path_factory):
    """CPU seconds of pandas and of ours for 40,000 columns, and the table that was read."""
    file = tmp_path_factory.mktemp('wide')/'wide.csv'
    values = np.random.default_rng(0).normal(size=(20, 40_000)).round(3).astype(str)
    header = ['sample', *(f'g{j}' for j in range(40_000))]
    lines = [header, *([sample, *row] for sample, row in zip(SAMPLES, values))]
    file.write_text('\n'.join(','.join(line) for line in lines))    # faster than pandas
    of_pandas, _ = cpu_seconds(lambda: pd.read_csv(file, index_col=0))
    of_reading, table = cpu_seconds(lambda: read_table(file))
    return of_pandas, of_reading, table


def test_wide_tables_are_read_fast(wide):
    """40,000 columns are read in twice the time of pandas."""
    of_pandas, of_reading, table = wide
    assert table.shape == (20, 40_000)
    assert of_reading < 2*of_pandas


def test_wide_tables_are_checked_fast(wide):
    """The checks of 40,000 columns take less time than pandas takes to read them."""
    of_pandas, _, table = wide
    labels = pd.Series(['A', 'B']*10, SAMPLES[:20])
    of_checks, cohort = cpu_seconds(lambda: Cohort({'wide': table}, labels))
    assert cohort.modalities['wide'].shape == (20, 40_000)
    assert of_checks < of_pandas


# The classifier: the same rules for what it is given

FAST = dict(epochs=2, seeds=1, inner=2, K=5, components=3, hidden=(8,), fusion='network')


def classifier(**options):
    from bmm.classifier import BalancedClassifier
    return BalancedClassifier(**{**FAST, **options})


@pytest.fixture(scope='module')
def fitted():
    """A classifier of the two tables, used by tests that do not change it."""
    return classifier().fit(*make_tables())


def one_table(tables):
    from bmm.classifier import side_by_side
    return side_by_side(tables)


@pytest.mark.parametrize('arrange', [
    lambda tables: (tables, {}), lambda tables: (tables['mRNA'], {}),
    lambda tables: (one_table(tables)[0], dict(modalities=one_table(tables)[1]))])
def test_labels_in_another_order_are_matched_by_id(arrange, tables, labels):
    X, options = arrange(tables)
    expected = classifier(**options).fit(X, labels)
    found = classifier(**options).fit(X, labels[::-1])
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    assert found.score(X, labels[::-1]) == expected.score(X, labels)
    assert found.score(X, labels.to_dict()) == expected.score(X, labels)


def test_labels_of_other_samples_are_refused(tables, labels):
    other = labels.set_axis([f'Q{i}' for i in range(30)])
    for X in (tables, tables['mRNA']):
        with pytest.raises(DataError, match='P00.*Q0'):
            classifier().fit(X, other)
    rows = tables['mRNA'].reset_index(drop=True)
    numbers = labels.set_axis(range(29, -1, -1))
    with pytest.raises(DataError, match='to_numpy'):
        classifier().fit(rows, numbers)


@pytest.fixture(scope='module')
def of_numbers():
    """Probabilities for the two tables with labels 0 and 1."""
    tables, _ = make_tables()
    codes = pd.Series(np.arange(30) % 2, SAMPLES)
    return classifier().fit(tables, codes).predict_proba(tables)


@pytest.mark.parametrize('kind', [bool, int, float, object, 'category', 'Int64', str])
@pytest.mark.parametrize('given', ['series', 'array', 'dict'])
def test_classes_of_any_type(kind, given, tables, of_numbers):
    y = pd.Series(np.arange(30) % 2, SAMPLES).astype(kind)
    forms = dict(series=y, array=y.to_numpy(), dict=y.to_dict())
    clf = classifier().fit(tables, forms[given])
    np.testing.assert_allclose(clf.predict_proba(tables), of_numbers, atol=1e-6)
    assert [str(int(c)) for c in clf.classes_] == ['0', '1']


def test_classes_that_are_alike_for_the_classifier(tables, labels):
    other = labels.copy()
    other.iloc[[0, 3, 6, 9]] = 'A '
    _, warned = said(lambda: classifier().fit(tables, other))
    assert [note for note in warned if "'A' and 'A ' are alike" in note]


def test_ids_of_new_patients_are_spellings(fitted, tables):
    ids = [f'TCGA-A1-A0{i:02}' for i in range(30)]
    new = {m: table.set_axis(ids) for m, table in tables.items()}
    expected = fitted.predict_proba(new)
    dots = [f'TCGA.A1.A0{i:02}.01A' for i in range(30)]
    mixed = {'mRNA': new['mRNA'], 'RPPA': new['RPPA'].set_axis(dots)[::-1]}
    found, warned = said(lambda: fitted.heads(mixed)['fused'])
    assert list(found.index) == ids
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [note for note in warned if '30 ids written in another way' in note]


def test_tables_whose_ids_do_not_meet(fitted, tables):
    new = dict(tables, RPPA=tables['RPPA'].add_prefix('x', axis=0))
    found, warned = said(lambda: fitted.predict_proba(new))
    assert len(found) == 60
    assert [note for note in warned if 'none of its samples is in another table' in note]


def test_features_in_rows_at_fit_and_at_predict(fitted, tables, labels):
    turned = dict(tables, mRNA=tables['mRNA'].T)
    expected = fitted.predict_proba(tables)
    found, warned = said(lambda: fitted.predict_proba(turned))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [note for note in warned if 'mRNA: features in rows' in note]
    again = classifier().fit(turned, labels)
    np.testing.assert_allclose(again.predict_proba(tables), expected, atol=1e-6)


def with_gaps(table, share=.2):
    rng = np.random.default_rng(1)
    return table.mask(pd.DataFrame(rng.random(table.shape) < share, table.index, table.columns))


@pytest.mark.parametrize('rule', ['median', 'neighbours'])
def test_gaps_are_filled_on_request(rule, tables, labels, tmp_path):
    from bmm.classifier import load_classifier

    gaps = dict(tables, RPPA=with_gaps(tables['RPPA']))
    with pytest.raises(DataError, match='NaN or infinite'):
        classifier().fit(gaps, labels)
    clf, warned = said(lambda: classifier(missing=rule).fit(gaps, labels))
    [note] = [note for note in warned if 'filled' in note]
    assert note.startswith('RPPA: ') and f'by the {rule}' in note and note in clf.notes_
    expected, warned = said(lambda: clf.predict_proba(gaps))
    assert np.isfinite(expected).all() and [note for note in warned if 'filled' in note]
    loaded = load_classifier(clf.save(tmp_path/'model.bmm'))
    np.testing.assert_allclose(loaded.predict_proba(gaps), expected, atol=1e-5)


def test_one_gap_in_a_new_patient(fitted, tables):
    from sklearn.base import clone

    new = {m: table.copy() for m, table in tables.items()}
    new['mRNA'].iloc[3, 2] = np.nan
    with pytest.raises(DataError, match="P03.*missing='median' fills"):
        fitted.predict(new)
    assert clone(fitted).missing == 'error'
    for rule, text in (('median', 'filled'), ('leave-out', 'taken without this table')):
        other = fitted.set_params(missing=rule)
        found, warned = said(lambda: other.predict_proba(new))
        rest = np.arange(30) != 3
        fitted.set_params(missing='error')
        np.testing.assert_allclose(found[rest], fitted.predict_proba(tables)[rest], atol=1e-6)
        assert [note for note in warned if text in note and 'P03' in note]


def test_an_empty_row_is_said(fitted, tables):
    new = {m: table.copy() for m, table in tables.items()}
    new['mRNA'].iloc[3] = np.nan
    _, warned = said(lambda: fitted.predict(new))
    assert [note for note in warned if 'mRNA: 1 row without any value' in note]


@pytest.mark.parametrize('change, text', [
    (lambda t: t + 10, 'outside of what was fitted'), (lambda t: 2**t*1000, 'outside'),
    (lambda t: t*1e4, 'outside'), (lambda t: t/1000, 'vary by 0.00')])
def test_values_unlike_the_fitted_ones(change, text, fitted, tables):
    same, warned = said(lambda: fitted.predict(tables))
    assert not warned
    new = dict(tables, RPPA=change(tables['RPPA']))
    _, warned = said(lambda: fitted.predict(new))
    [note] = warned
    assert note.startswith('RPPA: ') and text in note


@pytest.mark.parametrize('options', [
    dict(edges_per_node=2.5), dict(neighbour_weight=np.inf), dict(lr=np.inf), dict(lr=np.nan),
    dict(seeds=0), dict(seeds=True), dict(random_state=-1), dict(threads=10**6),
    dict(dropout=1.), dict(dropout=-.1), dict(weight_decay=-1), dict(K=0), dict(inner=1),
    dict(epochs='9'), dict(hidden=(0,)), dict(hidden=64), dict(components=0),
    dict(missing='mean')], ids=str)
def test_options_are_checked(options, tables, labels):
    [name] = options
    with pytest.raises(DataError, match=name):
        classifier(**options).fit(tables, labels)


def test_containers_of_the_classifier(anndata, fitted, tables, labels):
    import mudata

    expected = fitted.predict_proba(tables)
    parts = {m: annotated(table) for m, table in tables.items()}
    by_dict = classifier().fit(parts, labels)
    np.testing.assert_allclose(by_dict.predict_proba(parts), expected, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with mudata.set_options(pull_on_update=False):
            joined = mudata.MuData(parts)
        joined.obs['kind'] = labels.loc[joined.obs_names].to_numpy(object)
        by_name = classifier().fit(joined, 'kind')
    np.testing.assert_allclose(by_name.predict_proba(joined), expected, atol=1e-6)
    single = annotated(tables['mRNA'])
    single.obs['kind'] = labels.to_numpy(object)
    assert classifier().fit(single, 'kind').score(single, labels) <= 1
    for wrong in (list(tables.values()), [t.to_numpy() for t in tables.values()]):
        with pytest.raises(DataError, match='name each modality'):
            classifier().fit(wrong, labels)


def test_one_table_of_arrow(tables, labels):
    import pyarrow

    frame = tables['mRNA'].rename_axis('sample').reset_index()
    arrow = pyarrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    found = classifier().fit(arrow, labels[::-1]).predict_proba(arrow)
    expected = classifier().fit(tables['mRNA'], labels).predict_proba(tables['mRNA'])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_networks_are_aligned_by_id(tables):
    from bmm.graph.snf import SNF, similarity, snf

    mixed = dict(tables, RPPA=tables['RPPA'][::-1])
    expected = SNF(K=5).fit(tables).network
    np.testing.assert_allclose(SNF(K=5).fit(mixed).network, expected, atol=1e-6)
    by_name = {m: pd.DataFrame(W, SAMPLES, SAMPLES) for m, W in similarity(tables, K=5).items()}
    by_name['RPPA'] = by_name['RPPA'].iloc[::-1, ::-1]
    np.testing.assert_allclose(snf(by_name, K=5), expected, atol=1e-6)
    other = dict(tables, RPPA=tables['RPPA'].add_prefix('x', axis=0))
    with pytest.raises(DataError, match='RPPA and mRNA differ in 60 samples'):
        SNF(K=5).fit(other)


# The command line: nothing is lost without a sentence

QUICK = ['--epochs', '2', '--seeds', '1', '--quiet']


def bmm(*words):
    """Exit code, lines on stdout and lines on stderr of a command."""
    from typer.testing import CliRunner

    from bmm.cli import app
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name='bmm')
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def test_what_was_dropped_is_shown(folder, tables):
    tables['RPPA'].iloc[:20].mask(tables['RPPA'] == tables['RPPA'].iloc[0, 0]).rename_axis(
        'sample').to_csv(folder/'RPPA.csv')
    tables['mRNA'].iloc[:20].rename_axis('sample').to_csv(folder/'mRNA.csv')
    (folder/'README.txt').write_text('Two tables.\n')
    (folder/'CNV.xlsx').write_bytes(b'PK')
    code, out, err = bmm('fit', folder, *QUICK, '--out', folder/'model.bmm', '--nan',
                         'drop-features', '--unmatched', 'drop')
    assert code == 0 and len(out) == 1
    for text in ('not read: README.txt', 'not read: CNV.xlsx', '1 of 4 features left out',
                 '10 samples in no modality left out'):
        assert [line for line in err if line.startswith('note: ') and text in line], text


def test_many_notes_are_counted(folder, tables):
    for i in range(15):
        tables['mRNA'].rename_axis('sample').to_csv(folder/f'table{i:02}.csv')
    code, _, err = bmm('fit', folder, *QUICK, '--out', folder/'model.bmm')
    assert code == 0
    account = [line for line in err if line.startswith('note: ')]
    assert len(account) <= 12 and 'further notes: print the cohort' in ' '.join(account)


def test_predictions_with_a_gap_and_a_stranger(folder, tables, tmp_path):
    model = folder/'model.bmm'
    assert bmm('fit', folder, *QUICK, '--out', model)[0] == 0
    code, _, err = bmm('fit', folder, *QUICK, '--out', model)
    assert code == 2 and '--force' in err[-1]
    new = tmp_path/'new'
    new.mkdir()
    gap = tables['mRNA'].copy()
    gap.iloc[0, 2] = np.nan
    written(gap.T, new/'mRNA.CSV')
    written(tables['RPPA'], new/'RPPA.csv')
    written(tables['RPPA'], new/'urine.csv')
    code, out, err = bmm('predict', model, new, '--out', new/'p.csv')
    assert code == 0 and out == [f'{new/"p.csv"}: 30 patients']
    for text in ('mRNA: features in rows', '1 sample with a gap, taken without this table (P00)',
                 'not read: urine.csv'):
        assert [line for line in err if line.startswith('note: ') and text in line], text
    code, out, err = bmm('predict', model, new, '--out', new/'p.csv', '--missing', 'error')
    assert code == 2 and 'NaN or infinite' in err[-1]
    code, out, err = bmm('predict', model, new, '--out', new/'p.csv', '--missing', 'median')
    assert code == 0 and 'filled' in ' '.join(err)


@pytest.mark.parametrize('words, text', [
    (['fit', ''], "No cohort ''"), (['compare', ''], "No cohort ''"),
    (['fit', '{}', '--modalities', 'rppa'], 'modalities names rppa'),
    (['fit', '{}', '--features-in-rows', 'rppa'], 'features_in_rows names rppa'),
    (['fit', '{}', '--missing', 'zero'], "'zero'"), (['fit', '{}', '--nan', 'zero'], "'zero'")])
def test_wrong_commands(words, text, folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, out, err = bmm(*(str(folder) if word == '{}' else word for word in words))
    assert code == 2 and not out and err[-1].startswith('bmm: ') and text in err[-1]


def test_methods_are_listed():
    code, out, _ = bmm('fit', '--method', 'help')
    assert code == 0 and [line for line in out if 'OGM-GE' in line]


def test_files_of_other_programs_are_fitted(anndata, tables, labels, tmp_path):
    from bmm.data.readers import to_mudata

    cohort = Cohort(tables, labels)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        to_mudata(cohort).write(tmp_path/'cohort.h5mu')
    write_mogonet(cohort, tmp_path/'split', np.arange(30) < 20)
    for name in ('cohort.h5mu', 'split'):
        code, out, _ = bmm('fit', tmp_path/name, *QUICK, '--out', tmp_path/f'{name}.bmm')
        assert code == 0 and '30 patients' in out[0]
    code, out, _ = bmm('predict', tmp_path/'cohort.h5mu.bmm', tmp_path/'cohort.h5mu',
                       '--out', tmp_path/'p.csv')
    assert code == 0 and '30 patients' in out[0]
