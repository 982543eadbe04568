"""Balanced multimodal learning via mutual information.

The names below are loaded on first use, so that `import bmm` is fast. They are listed in
`__init__.pyi`, which type checkers read as well.
"""
__version__ = "0.2.0"

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
