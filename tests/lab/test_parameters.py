# SPDX-License-Identifier: GPL-2.0
"""A test whose parameters come from a list that has become empty must not look as if it had run."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths


@pytest.mark.parametrize(("values", "code"), [("1", 0), ("", 2)])
def test_a_test_without_any_parameters_is_an_error(tmp_path: Path, values: str, code: int) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "import pytest\n"
        f"@pytest.mark.parametrize('value', [{values}])\n"
        "def test_a_value(value):\n    assert value\n"
    )
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-c", str(paths.ROOT / "pyproject.toml")]
    run = subprocess.run(
        [sys.executable, *words, f"--rootdir={tmp_path}", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout
