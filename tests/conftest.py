"""Options and paths of the tests."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]/'docs'))


def pytest_addoption(parser):
    parser.addoption('--release', action='store_true', help='stale outputs are an error')
