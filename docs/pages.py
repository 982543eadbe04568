"""Make README.md, the summary of a run, and the source pages of the documentation."""
import ast
import base64
import re
import shutil
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

import jinja2
import nbformat
import pandas as pd

import notebooks as nbs

ROOT = nbs.ROOT
PAGES = ROOT/'_site'/'pages'
ROOMS = ['core', 'data', 'graph', 'models', 'information', 'balance', 'evaluation', 'decision',
         'study', 'classifier', 'report']      # order of the API pages; other modules follow
LONGEST_TABLE = 100                   # rows shown; the file holds all of them
templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ROOT/'docs'/'templates'), trim_blocks=True,
    lstrip_blocks=True, keep_trailing_newline=True,
    autoescape=jinja2.select_autoescape(['html']), undefined=jinja2.StrictUndefined)


# Notebooks as a reader sees them ----------------------------------------------------------

def directives(source: str) -> set[str]:
    """Return the nbdev directives of a cell, such as `hide` or `echo: false`."""
    return {match[1].strip() for match in re.finditer(r'(?m)^#\|(.*)$', source)}


def without_directives(source: str) -> str:
    """Remove the lines that contain directives."""
    return re.sub(r'(?m)^#\|.*\n?', '', source).strip()


def only_imports(source: str) -> bool:
    """Return whether a cell does nothing but import."""
    body = nbs.parse(source).body
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def tag_of(cell) -> str:
    """Return how a cell is displayed: a tag of myst-nb, or an empty string."""
    marks = directives(cell.source)
    source = without_directives(cell.source)
    if 'parameters' in cell.metadata.get('tags', []) or 'hide' in marks:
        return 'hide-cell'
    if only_imports(source):
        return 'hide-input'
    return 'remove-input' if 'echo: false' in marks or 'echo:false' in marks else ''


def reader_cells(nb) -> list:
    """Return the cells of a notebook without directives, tagged by how to display them."""
    cells = []
    for cell in nb.cells:
        if cell.cell_type != 'code':
            cells.append(nbformat.v4.new_markdown_cell(cell.source))
            continue
        source = without_directives(cell.source)
        if source:
            tags = [tag] if (tag := tag_of(cell)) else []
            outputs = [out for out in cell.outputs if out.get('name') != 'stderr']
            cells.append(nbformat.v4.new_code_cell(
                source, outputs=outputs, metadata=dict(tags=tags)))
    for number, cell in enumerate(cells):
        cell.id = f'cell-{number}'
    return cells


def is_folded(cell) -> bool:
    """Return whether the source of a cell is folded."""
    return cell is not None and cell.metadata.get('tags') in (['hide-cell'], ['hide-input'])


def join_folded(cells: list) -> list:
    """Join consecutive folded cells without outputs, so that set-up is one fold."""
    joined = []
    for cell in cells:
        last = joined[-1] if joined else None
        if is_folded(last) and is_folded(cell) and not last.outputs:
            last.source += f'\n{cell.source}'
            last.outputs = cell.outputs
        else:
            joined.append(cell)
    return joined


def python_notebook(cells: list):
    """Return a notebook whose code is highlighted as Python."""
    kernel = dict(name='python3', display_name='python3', language='python')
    return nbformat.v4.new_notebook(
        cells=cells, metadata=dict(kernelspec=kernel, language_info=dict(name='python')))


def title_and_claim(nb) -> tuple[str, str]:
    """Return the title of a notebook and the sentence quoted below it."""
    lines = nb.cells[0].source.splitlines()
    claims = [line.removeprefix('> ') for line in lines if line.startswith('> ')]
    return lines[0].removeprefix('# '), (claims or [''])[0]


# README -----------------------------------------------------------------------------------

def relink(markdown: str, folder: str = 'nbs') -> str:
    """Make relative links of a notebook start from the top of the repository."""
    def move(match):
        target = match[1]
        if re.match('[a-z]+:|#|/', target):
            return match[0]
        target = target[3:] if target.startswith('../') else f'{folder}/{target}'
        return f']({target})'
    return re.sub(r'\]\(([^)\s]+)\)', move, markdown)


def readme_text() -> str:
    """Return README.md as `nbs/index.ipynb` and its outputs give it.

    Cells with the tag `not-in-readme` are shown in the notebook and on the site only.
    """
    from nbconvert import MarkdownExporter
    from traitlets.config import Config
    config = Config(
        MarkdownExporter=dict(preprocessors=['nbconvert.preprocessors.TagRemovePreprocessor']),
        TagRemovePreprocessor=dict(enabled=True, remove_input_tags=['remove-input'],
                                   remove_cell_tags=['hide-cell']))
    nb = nbformat.read(ROOT/'nbs'/'index.ipynb', 4)
    nb.cells = [cell for cell in nb.cells
                if 'not-in-readme' not in cell.metadata.get('tags', [])]
    cells = reader_cells(nb)
    body, _ = MarkdownExporter(config=config).from_notebook_node(python_notebook(cells))
    note = '<!-- Made from nbs/index.ipynb by `python -m doit readme`. Edit the notebook. -->'
    text = re.sub(r'\n{3,}', '\n\n', body).strip()
    return f'{note}\n\n{relink(text)}\n'


def write_readme() -> list[Path]:
    """Write README.md, and return its path if it has changed."""
    path = ROOT/'README.md'
    text = readme_text()
    if path.exists() and path.read_text(encoding='utf-8') == text:
        return []
    path.write_text(text, encoding='utf-8')
    return [path]


def broken_links(markdown: str) -> list[str]:
    """Return the relative links of a text that lead nowhere."""
    targets = re.findall(r'\]\(([^)\s]+)\)', markdown)
    local = [target for target in targets if not re.match('[a-z]+:|#', target)]
    return [target for target in local if not (ROOT/target.split('#')[0]).exists()]


# Figures and tables -----------------------------------------------------------------------

@dataclass
class Result:
    """A figure or a table in the outputs of a notebook."""
    kind: str       # 'png', 'svg' or 'table'
    content: str    # Base64, SVG or Markdown
    caption: str    # Markdown, empty if the content contains it
    code: str       # The cell that made it

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content) if self.kind == 'png' else self.content.encode()


def last_paragraph(markdown: str) -> str:
    """Return the last paragraph of prose."""
    paragraphs = [part.strip() for part in markdown.split('\n\n')]
    other = ('#', '|', '```', '$$')
    prose = [part for part in paragraphs if part and not part.startswith(other)]
    return prose[-1] if prose else ''


def results_of(nb) -> list[Result]:
    """Return the figures and tables of a notebook with their captions, in order."""
    found, prose = [], ''
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            prose = last_paragraph(cell.source)
            continue
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            if 'image/png' in data:
                found.append(Result('png', data['image/png'], prose, cell.source))
            elif 'image/svg+xml' in data:
                found.append(Result('svg', data['image/svg+xml'], prose, cell.source))
            elif '\n|' in data.get('text/markdown', ''):
                found.append(Result('table', data['text/markdown'], '', cell.source))
    return found


def write_summary(run) -> Path:
    """Write one page with all figures and tables of a run."""
    from nbconvert.filters import markdown2html
    sections = []
    for notebook in nbs.find_notebooks():
        if run.output(notebook).exists():
            nb = nbformat.read(run.output(notebook), 4)
            results = results_of(nb)
            if results:
                sections.append(dict(id=notebook.stem, title=title_and_claim(nb)[0],
                                     claim=title_and_claim(nb)[1], results=results))
    page = run.folder/'index.html'
    page.parent.mkdir(parents=True, exist_ok=True)
    template = templates.get_template('summary.html')
    page.write_text(template.render(run=run, sections=sections, markdown=markdown2html),
                    encoding='utf-8')
    return page


# Documentation ----------------------------------------------------------------------------

def write_page(name: str, template: str, **values):
    """Fill a template and write it below the pages."""
    path = PAGES/name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(templates.get_template(template).render(**values), encoding='utf-8')


def site_notebook(nb):
    """Return a notebook as a page of the documentation."""
    stamp = nb.metadata.get('bmm')
    cells = join_folded(reader_cells(nb))
    if stamp:
        note = f'*Outputs of the {stamp["profile"]} run on {stamp["cohort"]}.*'
        cells.insert(1, nbformat.v4.new_markdown_cell(note, id='stamp'))
    return python_notebook(cells)


def table_markdown(path: Path) -> str:
    """Return the first rows of a table for a page of results, numbers with three decimals."""
    table = pd.read_csv(path).head(LONGEST_TABLE)
    text = table.astype(object).map(
        lambda cell: cell.replace('|', r'\|') if isinstance(cell, str) else cell)
    markdown = text.to_markdown(index=False, floatfmt='.3f', missingval='–')
    return relink(markdown, '../nbs')


def best_format(path: Path) -> Path:
    """Return the SVG of a figure if there is one."""
    drawing = path.with_suffix('.svg')
    return drawing if drawing.exists() else path


def section_of(notebook: Path) -> dict:
    """Return the figures and tables that a notebook has written to figures/."""
    nb = nbformat.read(notebook, 4)
    results = results_of(nb)
    names = nb.metadata.get('bmm', {}).get('files', [])
    figures = {path.read_bytes(): path for path in (ROOT/'figures').glob('*.png')}
    shown = [dict(file=best_format(figures[result.data]).name,
                  caption=relink(result.caption))
             for result in results if result.kind == 'png' and result.data in figures]
    code = '\n'.join(nbs.code_of(nb))
    tables = []
    for path in sorted((ROOT/'figures').glob('*.csv')):
        quoted = f"'{path.stem}'"
        if path.name in names or (not names and quoted in code):
            captions = [result.content.partition('\n')[0] for result in results
                        if result.kind == 'table' and quoted in result.code]
            rows = len(pd.read_csv(path))
            caption = relink((captions or [''])[0], '../nbs')
            tables.append(dict(file=path.name, name=path.stem, rows=rows, path=path,
                               caption=caption))
    return dict(page=notebook.stem, title=title_and_claim(nb)[0], figures=shown, tables=tables)


def rooms() -> dict[str, list[str]]:
    """Return the modules of each room of the package, in the order of the design."""
    found = {}
    for path in sorted((ROOT/nbs.PACKAGE).rglob('*.py')):
        if path.stem not in ('__init__', '_modidx', 'cli'):
            parts = path.relative_to(ROOT).with_suffix('').parts
            found.setdefault(parts[1], []).append('.'.join(parts))
    order = {name: number for number, name in enumerate(ROOMS)}
    return {name: found[name] for name in sorted(found, key=lambda n: (order.get(n, 99), n))}


def mathjax() -> Path:
    """Return MathJax in one file, so that the pages need no network."""
    found = [file.locate() for file in files('sphinx-mathjax-offline')
             if file.name == 'tex-svg-full.js']
    return Path(found[0])


def write_front_page():
    """Fill in version, repository and picture of the front page."""
    picture = [file for file in ('method.svg', 'method.png') if (ROOT/'figures'/file).exists()]
    page = templates.from_string((ROOT/'docs'/'index.md').read_text(encoding='utf-8'))
    text = page.render(version=nbs.settings()['version'], repository=nbs.settings()['git_url'],
                       picture=(picture or [''])[0])
    (PAGES/'index.md').write_text(text, encoding='utf-8')


def write_site():
    """Write everything that Sphinx reads to _site/pages."""
    shutil.rmtree(ROOT/'_site', ignore_errors=True)
    ignored = shutil.ignore_patterns('__pycache__', 'templates', 'notebooks.py', 'staleness.py',
                                     'pages.py', 'progress.py')
    shutil.copytree(ROOT/'docs', PAGES, ignore=ignored)
    shutil.copytree(ROOT/'figures', PAGES/'figures')
    write_front_page()
    shutil.copy(mathjax(), PAGES/'_static'/'mathjax.js')
    for name in ('CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE', 'CITATION.cff'):
        text = (ROOT/name).read_text(encoding='utf-8')
        (PAGES/name).write_text(text.replace('](docs/', ']('), encoding='utf-8')
    notebooks = [path for path in nbs.find_notebooks() if path.stem != 'index']
    (PAGES/'nbs').mkdir()
    for notebook in notebooks:
        nbformat.write(site_notebook(nbformat.read(notebook, 4)), PAGES/'nbs'/notebook.name)
    sections = [section_of(notebook) for notebook in notebooks]
    write_page('gallery.md', 'gallery.md', sections=[s for s in sections if s['figures']])
    tables = [section for section in sections if section['tables']]
    write_page('results/index.md', 'results_index.md', sections=tables)
    for section in tables:
        write_page(f'results/{section["page"]}.md', 'results.md', section=section,
                   table=table_markdown, longest=LONGEST_TABLE)
    write_page('api/index.md', 'api_index.md', rooms=rooms())
    for room, modules in rooms().items():
        write_page(f'api/{room}.md', 'api.md', room=room, modules=modules)
