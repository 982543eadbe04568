"""Settings of Sphinx. `python -m doit docs` writes the pages and builds them."""
import os
import sys
from configparser import ConfigParser
from pathlib import Path

root = next(folder for folder in Path(__file__).resolve().parents
            if (folder/'settings.ini').exists())
sys.path[:0] = [str(root), str(Path(__file__).parent)]
os.environ.setdefault('OMP_NUM_THREADS', '1')
config = ConfigParser(delimiters=['='])
config.read(root/'settings.ini', encoding='utf-8')
settings = config['DEFAULT']

project = 'bmm'
author = copyright = settings['author']
release = version = settings['version']
html_title = f'bmm {release}'
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'docments']
exclude_patterns = ['_static']

nb_execution_mode = 'off'
nb_render_markdown_format = 'myst'
nb_merge_streams = True
myst_heading_anchors = 4
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence']

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'          # types stand in the list of parameters
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = 'hide'

html_theme = 'sphinx_book_theme'
html_static_path = ['_static']
html_css_files = ['bmm.css']
mathjax_path = 'mathjax.js'         # a copy of sphinx-mathjax-offline
html_show_sourcelink = False
html_copy_source = False
html_theme_options = dict(
    repository_url=settings['git_url'], use_repository_button=True, use_download_button=False,
    home_page_in_toc=True, show_toc_level=2, show_navbar_depth=1,
    navbar_persistent=[])           # the side bar has the search field
