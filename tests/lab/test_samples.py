# SPDX-License-Identifier: GPL-2.0
"""The samples: what is in them of the ABI is the header's, and how the lab takes them along."""

import asyncio
import contextlib
import errno
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

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
    batch += ring.RECORD.pack(5, 0, 8, 2000, 4) + b"other"
    assert ring.parse(batch) == [
        ring.Record(b"one", 7, 1000, 2),
        ring.Record(b"other", 8, 2000, 4),
    ]
    assert ring.parse(b"") == []


@pytest.fixture
def asked(ring: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes]]:
    """What the control node was asked to do."""
    found: list[tuple[int, bytes]] = []
    monkeypatch.setattr(ring, "_control", lambda *command: found.append(command))
    return found


def test_each_attribute_is_handed_over(ring: ModuleType, asked: list[tuple[int, bytes]]) -> None:
    ring.create(
        "all",
        capacity=1 << 17,
        full=ring.FULL_OVERWRITE,
        delivery=ring.DELIVERY_BROADCAST,
        hangup=True,
        mode=0o640,
    )
    ring.create("plain")
    mine = (os.geteuid(), os.getegid())
    assert asked == [
        (ring.IOC_CREATE, ring.CREATE.pack(72, 1, 1 << 17, 1, 2, 1, 0o640, *mine, b"all")),
        (ring.IOC_CREATE, ring.CREATE.pack(72, 0, 1 << 18, 1, 0, 0, 0o600, *mine, b"plain")),
    ]


def test_a_ring_is_destroyed_by_its_name(ring: ModuleType, asked: list[tuple[int, bytes]]) -> None:
    ring.destroy("gone")
    assert asked == [(ring.IOC_DESTROY, ring.NAME.pack(40, 0, b"gone"))]


def test_a_name_is_not_cut_off(ring: ModuleType) -> None:
    with pytest.raises(OSError, match="too long"):
        ring.create("x" * 32)


def test_the_example_of_the_samples_in_c_shows_what_they_print() -> None:
    text = (paths.ROOT / "Documentation/samples.rst").read_text()
    [(last, ring, shown)] = re.findall(
        r"^    # seq (\d) \| samples/c/ring-send (\w+)\n((?:    .*\n)+)", text, re.MULTILINE
    )
    expected = [f"    {ring} {number}: {number + 1}" for number in range(int(last))]
    assert shown.splitlines() == expected


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Two ends of a pipe, which is as good as a ring here."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


class End(Protocol):
    """An end of a ring."""

    async def send(self, payload: bytes) -> None: ...

    async def receive(self) -> list[Any]: ...


def an_end(ring: ModuleType, fd: int) -> End:
    """Makes an end of what is open already."""
    end: Any = ring.Ring.__new__(ring.Ring)
    end._fd, end._batch = fd, 64
    return cast("End", end)


def test_a_task_waits_for_records_and_for_room(ring: ModuleType, pipe: tuple[int, int]) -> None:
    reader, writer = (an_end(ring, fd) for fd in pipe)
    record = ring.RECORD.pack(4, 0, 5, 6, 7) + b"8888"

    async def both() -> None:
        receiving = asyncio.create_task(reader.receive())
        await asyncio.sleep(0.01)
        assert not receiving.done()
        await writer.send(record)
        assert await receiving == [ring.Record(b"8888", 5, 6, 7)]
        for size in (1000, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(pipe[1], bytes(size))
        sending = asyncio.create_task(writer.send(record))
        await asyncio.sleep(0.01)
        assert not sending.done()
        os.read(pipe[0], 1 << 20)
        await sending
        assert os.read(pipe[0], 1 << 20) == record
        with pytest.raises(ValueError, match="no empty"):
            await writer.send(b"")

    asyncio.run(asyncio.wait_for(both(), 10))


def test_a_record_that_is_longer_is_read_with_more_room(
    ring: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ring.RECORD.pack(200, 0, 5, 6, 0) + bytes(200)
    sizes = []

    def read(fd: int, size: int) -> bytes:
        sizes.append((fd, size))
        if size < len(record):
            raise OSError(errno.EMSGSIZE, "too long")
        return bytes(record)

    monkeypatch.setattr(ring.os, "read", read)
    found = asyncio.run(an_end(ring, 99).receive())
    assert [len(one.payload) for one in found] == [200]
    assert sizes == [(99, 64), (99, 128), (99, 256)]

    def broken(_fd: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(ring.os, "read", broken)
    with pytest.raises(OSError, match="broken"):
        asyncio.run(an_end(ring, 99).receive())


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
