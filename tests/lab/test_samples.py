# SPDX-License-Identifier: GPL-2.0
"""The samples: how the lab finds their tests, and what their runner says."""

import subprocess
from pathlib import Path

from lab import samples


def test_the_runner_tells_what_failed(tmp_path: Path) -> None:
    runner = tmp_path / "run"
    runner.write_text((samples.TESTS / "run").read_text())
    (tmp_path / "good").write_text("true\n")
    (tmp_path / "bad").write_text("echo one\nfalse\necho two\n")
    run = subprocess.run(
        ["sh", str(runner), "good", "bad"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "ok 1 good" in run.stdout
    assert "not ok 2 bad" in run.stdout
    assert "# one\n" in run.stdout
    assert "# two\n" not in run.stdout


def test_each_test_of_the_samples_is_known_by_its_name() -> None:
    assert set(samples.SHARED).isdisjoint(samples.names())
    assert samples.names("c_*") == [name for name in samples.names() if name.startswith("c_")]
    assert samples.names("c_*")
    assert samples.names("no such test") == []
