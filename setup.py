"Everything setuptools needs is read from settings.ini."
import shlex
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(here/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']


def words(key):
    return shlex.split(cfg.get(key, ''))


setup(
    name=cfg['distribution'], version=cfg['version'], description=cfg['description'],
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'],
    license='Apache-2.0', keywords=cfg['keywords'].split(),
    long_description=(here/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    packages=find_packages(include=[cfg['lib_path'], cfg['lib_path']+'.*']),
    package_data={cfg['lib_path']: ['py.typed', '*.pyi', 'data/*.csv.gz']},
    python_requires='>='+cfg['min_python'],
    install_requires=words('requirements'),
    extras_require={
        extra: words(f'{extra}_requirements') for extra in ('mudata', 'cluster', 'dev', 'docs')},
    entry_points=dict(console_scripts=words('console_scripts'),
                      nbdev=[f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]))
