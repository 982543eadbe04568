"""A temporary folder, while the package at work prints nothing."""

import contextlib
import io
import tempfile


@contextlib.contextmanager
def quiet_folder():
    "Name of a folder that is removed afterwards"
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        yield folder
