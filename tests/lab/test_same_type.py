# SPDX-License-Identifier: GPL-2.0
"""Whether a function of C whose type has changed still builds the module."""

import re
import subprocess
from pathlib import Path

import pytest

from lab import paths

HEADER = paths.ROOT / "src/staging/helpers.h"

# As include/linux/build_bug.h has it.
STATIC_ASSERT = "#define static_assert(what) _Static_assert(what, #what)"


def compiles(type_: str, folder: Path) -> bool:
    """Tells whether a function is taken for one of another type."""
    [macro] = re.findall(
        r"^#define SAME_TYPE\(.*?[^\\]$", HEADER.read_text(), re.MULTILINE | re.DOTALL
    )
    source = folder / "same.c"
    function = "int changed(int);"
    source.write_text(f"{STATIC_ASSERT}\n{macro}\n{function}\nSAME_TYPE(changed, {type_});\n")
    run = subprocess.run(
        ["cc", "-std=gnu11", "-fsyntax-only", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0 or "static assertion failed" in run.stderr.lower(), run.stderr
    return run.returncode == 0


def test_the_same_type_compiles(tmp_path: Path) -> None:
    assert compiles("int(int)", tmp_path)


@pytest.mark.parametrize("type_", ["int(long)", "long(int)", "int(int, int)"])
def test_another_type_does_not_compile(type_: str, tmp_path: Path) -> None:
    assert not compiles(type_, tmp_path)
