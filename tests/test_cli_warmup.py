"""`glassnet warmup`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest.importorskip("numba")


def test_it_compiles_and_says_how_long_it_took() -> None:
    code = "import sys; sys.argv = ['glassnet', 'warmup']; from glassnet.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"Everything is compiled and kept on disk: [\d.]+ s", done.stdout)
    assert not done.stderr
