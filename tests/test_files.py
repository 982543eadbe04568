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


def test_wide_tables_are_fast(tmp_path):
    """100,000 columns are read and checked in twice the time of pandas."""
    values = np.random.default_rng(0).normal(size=(20, 100_000)).round(3)
    rows = pd.DataFrame(values, SAMPLES[:20]).add_prefix('g')
    rows.rename_axis('sample').to_csv(tmp_path/'wide.csv')
    start = time.process_time()
    pd.read_csv(tmp_path/'wide.csv', index_col=0)
    of_pandas = time.process_time() - start
    start = time.process_time()
    table = read_table(tmp_path/'wide.csv')
    Cohort({'wide': table}, pd.Series(['A', 'B']*10, SAMPLES[:20]))
    assert time.process_time() - start < 2*of_pandas
