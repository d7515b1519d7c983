# SPDX-License-Identifier: GPL-2.0
"""The samples: what is in them of the ABI is the header's, and how the lab takes them along."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from lab import paths, samples

HEADER = (paths.ROOT / "include/uapi/linux/ringdev.h").read_text()
# As struct has them.
CODES = {"__u32": "I", "__u64": "Q", "char": "32s"}


@pytest.fixture(scope="module")
def ring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ring", paths.ROOT / "samples/python/ring.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["create", "name", "read_mode", "record"])
def test_structures_in_python_are_those_of_the_header(ring: ModuleType, name: str) -> None:
    match = re.search(rf"^struct ringdev_{name} {{\n(.*?)^}};", HEADER, re.MULTILINE | re.DOTALL)
    assert match
    fields = [line.split()[0] for line in match[1].splitlines()]
    expected = "=" + "".join(CODES[kind] for kind in fields)
    assert getattr(ring, name.upper()).format == expected


@pytest.mark.parametrize("name", ["CREATE", "DESTROY", "READ_MODE"])
def test_numbers_in_python_are_those_of_the_header(ring: ModuleType, name: str) -> None:
    match = re.search(rf"RINGDEV_IOC_{name}\s+_IO\('(.)', (0x\w+)\)", HEADER)
    assert match
    assert getattr(ring, f"IOC_{name}") == ord(match[1]) << 8 | int(match[2], 16)


def test_values_in_python_are_those_of_the_header(ring: ModuleType) -> None:
    defined = dict(re.findall(r"^#define RINGDEV_(\w+)\s+(\d+|\(1U << 0\))", HEADER, re.MULTILINE))
    values = {name: 1 if value == "(1U << 0)" else int(value) for name, value in defined.items()}
    for here, there in {
        "FRAMING_RECORD": "RECORD",
        "FULL_BLOCK": "BLOCK",
        "FULL_DROP": "DROP",
        "FULL_OVERWRITE": "OVERWRITE",
        "DELIVERY_SHARED": "SHARED",
        "DELIVERY_BROADCAST": "BROADCAST",
        "FLAG_HANGUP": "HANGUP",
        "FLAG_HEADERS": "HEADERS",
        "ALIGN": "ALIGN",
        "NAME_SIZE": "NAME_SIZE",
    }.items():
        assert getattr(ring, here) == values[there], here


def test_a_batch_is_taken_apart(ring: ModuleType) -> None:
    batch = ring.RECORD.pack(3, 0, 7, 1000, 2) + b"one" + bytes(5)
    batch += ring.RECORD.pack(5, 0, 8, 2000, 0) + b"other"
    first, second = ring.parse(batch)
    assert (first.payload, first.sequence, first.timestamp_ns, first.lost) == (b"one", 7, 1000, 2)
    assert (second.payload, second.sequence) == (b"other", 8)
    assert ring.parse(b"") == []


def test_a_name_is_not_cut_off(ring: ModuleType) -> None:
    with pytest.raises(OSError, match="too long"):
        ring.create("x" * 32)


def test_a_guest_gets_the_interpreter_its_modules_and_its_libraries() -> None:
    files = samples.python_files(samples.SCRIPT)
    assert str(samples.INTERPRETER) in files
    assert any(place.endswith("/asyncio/__init__.py") for place in files)
    assert any(Path(place).name.startswith("libc.so.") for place in files)
    assert any(Path(place).name.startswith("ld-linux") for place in files)
    assert str(samples.SCRIPT) not in files


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
    folders = (samples.TESTS, samples.TOOLS_TESTS)
    there = [path.name for folder in folders for path in folder.iterdir()]
    assert sorted([*samples.names(), *samples.SHARED]) == sorted(there)
    assert set(samples.SHARED).isdisjoint(samples.names())
    assert samples.names("c_*") == [name for name in samples.names() if name.startswith("c_")]
    assert samples.names("c_*")
    assert samples.names("no such test") == []
