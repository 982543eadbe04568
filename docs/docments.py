"""Sphinx extension: comments behind arguments become lists of parameters.

Docstrings are Markdown. What reStructuredText would misread in them is escaped, and names in
back-ticks become links where they are unique in the package.
"""
import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from collections import defaultdict

from docutils import nodes
from sphinx.util.nodes import make_refnode

KINDS = ('class', 'exception', 'function', 'method')
NAME = re.compile(r'([A-Za-z_][\w.]*)(\(\))?')


def to_rst(markdown: str) -> str:
    """Turn the little Markdown that docstrings contain into reStructuredText."""
    parts = re.split(r'(``[^`]+``|`[^`]+`|\$[^$]+\$)', markdown)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            part = re.sub(r'\[([^\]]+)\]\(([a-z]+:[^)\s]+)\)', r'`\1 <\2>`__', part)
            parts[number] = re.sub(r'(?<![`<])([*|\\])|(?<=\w)(_)(?!\w)', r'\\\1\2', part)
        elif part.startswith('$'):
            parts[number] = f':math:`{part[1:-1]}`'
        elif not part.startswith('``'):
            parts[number] = f'`{part}`'
        if number % 2 and re.match(r'\w', (parts[number+1:] or [''])[0]):
            parts[number] += r'\ '        # markup must not touch a letter
    return ''.join(parts)


def comments(source: str) -> dict[int, str]:
    """Return the comments of some code by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip('# ') for token in tokens
            if token.type == tokenize.COMMENT}


def parameters(node: ast.FunctionDef) -> list[ast.arg]:
    """Return the parameters of a function in their order, without `self`."""
    args = node.args
    found = [*args.posonlyargs, *args.args, *filter(None, [args.vararg]), *args.kwonlyargs,
             *filter(None, [args.kwarg])]
    return [arg for arg in found if arg.arg not in ('self', 'cls')]


def entries(node) -> list[tuple]:
    """Return name, annotation, first and last line of what may carry a comment.

    `ruff format` may move a comment behind a default or an annotation, which then covers
    several lines. It belongs to everything from one parameter to the next.
    """
    if isinstance(node, ast.ClassDef):
        named = [child for child in node.body if isinstance(child, ast.AnnAssign)]
        return [(f.target.id, f.annotation, f.lineno, f.end_lineno) for f in named]
    found = parameters(node)
    body = node.body[0].lineno
    end = node.returns.lineno if node.returns else body
    starts = [arg.lineno for arg in found]
    stops = [max(start, stop-1) for start, stop in zip(starts, [*starts[1:], end])]
    rows = [(arg.arg, arg.annotation, start, stop)
            for arg, start, stop in zip(found, starts, stops)]
    last = max(starts, default=0)
    if node.returns:
        rows.append(('return', node.returns, max(last+1, node.returns.lineno), body-1))
    return rows


def documented(obj):
    """Return the syntax tree that lists the parameters of an object, and its source."""
    if inspect.isclass(obj) and not dataclasses.is_dataclass(obj):
        obj = obj.__init__
    if not obj.__module__.startswith('bmm'):
        raise TypeError('not part of the package')
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(obj)))
    return ast.parse(source).body[0], source


def fields(obj) -> list[str]:
    """Return the field list of a function or class from its comments."""
    node, source = documented(obj)
    texts, lines = comments(source), []
    for name, annotation, first, last in entries(node):
        said = [texts[number] for number in range(first, last+1) if number in texts]
        text = to_rst(' '.join(said))
        kind = ast.unparse(annotation).strip("'") if annotation else ''
        if name == 'return':
            lines += [f':returns: {text}']*bool(text) + [f':rtype: {kind}']*bool(kind)
        elif text or kind:
            lines += [f':param {name}: {text}'] + [f':type {name}: {kind}']*bool(kind)
    return lines


def add_fields(app, what, name, obj, options, lines):
    """Rewrite a docstring, and append what the comments say about the arguments."""
    lines[:] = to_rst('\n'.join(lines)).split('\n')
    if what in KINDS:
        try:
            found = fields(obj)
        except (TypeError, OSError, AttributeError):
            found = []            # no source: inherited or generated
        lines += ['', *found, ''] if found else []


def link_names(app, doctree, docname):
    """Link literals such as `SNF` to the entry of that name, if exactly one exists."""
    domain = app.env.get_domain('py')
    places = defaultdict(list)
    for full_name, entry in domain.objects.items():
        if entry.objtype in KINDS:
            parts = full_name.split('.')
            own = '.'.join(parts[-2:] if entry.objtype == 'method' else parts[-1:])
            places[own].append((full_name, entry))
            places[full_name].append((full_name, entry))
    for literal in list(doctree.findall(nodes.literal)):
        match = NAME.fullmatch(literal.astext())
        found = places.get(match[1], []) if match else []
        if len(found) == 1 and not isinstance(literal.parent, nodes.reference):
            full_name, entry = found[0]
            literal.replace_self(make_refnode(
                app.builder, docname, entry.docname, entry.node_id, literal.deepcopy(),
                full_name))


def setup(app):
    app.connect('autodoc-process-docstring', add_fields)
    app.connect('doctree-resolved', link_names)
    return dict(parallel_read_safe=True)
