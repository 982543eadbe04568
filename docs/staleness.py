"""The notebooks, and which of their outputs are out of date.

Used by `notebooks.py`. Not part of the package.
"""
import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'bmm'
PAPER_COHORT = 'tcga-brca'
EMBEDDED = ('synthetic', 'digits')        # cohorts that are generated or installed, not read


def find_notebooks() -> list[Path]:
    """Return the notebooks in reading order, `index` last."""
    nbs = ROOT/'nbs'
    return [*sorted(nbs.glob('[0-9][0-9]*_*.ipynb')), *nbs.glob('index.ipynb')]


def is_benchmark(notebook: Path) -> bool:
    """Return whether a notebook measures time, so that nothing may run beside it."""
    return notebook.stem.startswith('29')


def reads_results(notebook: Path) -> bool:
    """Return whether a notebook reads the tables that other notebooks write."""
    return is_benchmark(notebook) or shows_results(notebook)


def shows_results(notebook: Path) -> bool:
    """Return whether a notebook shows results of others, so that it is as old as they are."""
    return notebook.stem in ('81_tutorial_paper', 'index')


def results_behind(notebook: Path) -> list[Path]:
    """Return the notebooks whose results a notebook shows.

    The index shows those of all others, the table of claims those of the experiments.
    """
    if not shows_results(notebook):
        return []
    others = [other for other in find_notebooks() if other != notebook]
    if notebook.stem == 'index':
        return others
    return [other for other in others if not reads_results(other)]


def code_of(nb) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    return [cell.source for cell in nb.cells if cell.cell_type == 'code']


# Hashes -----------------------------------------------------------------------------------

def parse(code: str) -> ast.Module:
    """Parse Python that may contain IPython magics."""
    try:
        return ast.parse(code)      # far faster than the search for magics
    except SyntaxError:
        return ast.parse(TransformerManager().transform_cell(code))


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove the docstrings of a module and of all that it defines."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, scopes) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def canonical(node):
    """Turn a syntax tree into lists and strings.

    `ast.dump` is not used because its result depends on the version of Python.
    """
    if isinstance(node, ast.AST):
        fields = [(name, canonical(value)) for name, value in ast.iter_fields(node)]
        return [type(node).__name__, [pair for pair in fields if pair[1] not in (None, [])]]
    if isinstance(node, list):
        return [canonical(item) for item in node]
    return node if node is None else repr(node)


def normalised(code: str) -> str:
    """Reduce code to what Python executes: no comments, docstrings or formatting."""
    return json.dumps(canonical(without_docstrings(parse(code))))


def module_path(name: str) -> Path | None:
    """Return the file of a dotted module name, or `None` if it is no module."""
    path = ROOT.joinpath(*name.split('.')).with_suffix('.py')
    return path if path.is_file() else None


@lru_cache
def lazy_names() -> dict[str, str]:
    """Return the modules of the names that the package itself offers."""
    stub = ast.parse((ROOT/PACKAGE/'__init__.pyi').read_text(encoding='utf-8'))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {f'{PACKAGE}.{alias.name}': f'{PACKAGE}.{node.module}'
            for node in imports for alias in node.names}


def dotted_names(tree: ast.Module, file: Path | None) -> set[str]:
    """Return every dotted name that a module imports, relative imports resolved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = file.relative_to(ROOT).parts[:-node.level] if node.level and file else ()
            base = '.'.join([*parents, *filter(None, [node.module])])
            names.add(base)
            names.update(f'{base}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == PACKAGE:
            names.add(f'{PACKAGE}.{node.attr}')
    return names


def imported_modules(code: str, file: Path | None = None) -> set[Path]:
    """Return the modules of the package that some code imports directly."""
    names = {lazy_names().get(name, name) for name in dotted_names(parse(code), file)}
    paths = {module_path(name) for name in names if name.startswith(f'{PACKAGE}.')}
    return paths - {None}


@lru_cache
def read_module(file: Path) -> tuple[str, set[Path]]:
    """Return the normalised code of a module and the modules that it imports."""
    code = file.read_text(encoding='utf-8')
    return normalised(code), imported_modules(code, file)


def modules_behind(code: str) -> list[Path]:
    """Return the modules of the package that some code imports, directly or not."""
    todo, found = imported_modules(code), set()
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= read_module(file)[1] - found
    return sorted(found)


@lru_cache
def code_hash(notebook: Path) -> str:
    """Hash the code of a notebook and of the modules behind it.

    A notebook that shows results of others includes their hashes.
    """
    sources = code_of(nbformat.read(notebook, 4))
    parts = [normalised(source) for source in sources]
    for file in modules_behind('\n'.join(sources)):
        parts += [file.relative_to(ROOT).as_posix(), read_module(file)[0]]
    parts += [code_hash(other) for other in results_behind(notebook)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@lru_cache
def folder_hash(folder: Path) -> str:
    """Hash the names and the bytes of all files of a folder."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob('*') if path.is_file()):
        total.update(file.relative_to(folder).as_posix().encode())
        with file.open('rb') as stream:
            total.update(hashlib.file_digest(stream, 'sha256').digest())
    return total.hexdigest()[:16]


def find_paper_cohort(data=None) -> Path | None:
    """Return the folder of the paper's cohort, or `None` if it is not on this machine."""
    from bmm.data.datasets import find_tcga
    found = find_tcga(data)
    return found[1] if found else None


def cohort_hash(cohort: str, data=None) -> str:
    """Hash what a cohort contains. The result is empty if the cohort is not found."""
    if cohort in EMBEDDED:
        return cohort
    folder = find_paper_cohort(data) if cohort == PAPER_COHORT else Path(cohort)
    return folder_hash(folder) if folder and folder.is_dir() else ''


def read_stamp(path: Path) -> dict:
    """Return the stamp of an executed notebook, empty if there is none."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))['metadata'].get('bmm', {})
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def stale_outputs(data=None) -> dict[str, str]:
    """Return the committed notebooks with outputs of older code, and the reason.

    The cohort is compared only if it is on this machine.
    """
    reasons = {}
    content = cohort_hash(PAPER_COHORT, data)
    for notebook in find_notebooks():
        stamp = read_stamp(notebook)
        if (stamp.get('profile'), stamp.get('cohort')) != ('full', PAPER_COHORT):
            reasons[notebook.stem] = 'no full run'
        elif stamp.get('code') != code_hash(notebook):
            reasons[notebook.stem] = 'code has changed'
        elif content and stamp.get('data') != content:
            reasons[notebook.stem] = 'cohort has changed'
    return reasons
