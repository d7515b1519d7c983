#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Rings of records for asyncio, with nothing but the standard library; Python 3.11 or later.

As a program it shows what the class can do: several tasks write into a ring while another reads,
and what has come is counted. As root::

    python3 ring.py --writers 4 --records 1000

include/uapi/linux/ringdev.h says what the structures and numbers here mean.
"""

import argparse
import asyncio
import errno
import fcntl
import os
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

# struct ringdev_create, ringdev_name, ringdev_read_mode and ringdev_record.
CREATE = struct.Struct("=IIQIIIIII32s")
NAME = struct.Struct("=II32s")
READ_MODE = struct.Struct("=II")
RECORD = struct.Struct("=IIQQQ")

IOC_CREATE = 0x7C90
IOC_DESTROY = 0x7C91
IOC_READ_MODE = 0x7C9B

FRAMING_RECORD = 1
FULL_BLOCK, FULL_DROP, FULL_OVERWRITE = range(3)
DELIVERY_SHARED, DELIVERY_BROADCAST = range(2)
FLAG_HANGUP = 1
FLAG_HEADERS = 1
ALIGN = 8
NAME_SIZE = 32

# How much is read at once, unless a record is longer.
BATCH = 64 << 10


@dataclass(frozen=True)
class Record:
    """A record, with what its header says."""

    payload: bytes
    sequence: int
    # By CLOCK_MONOTONIC, as time.monotonic_ns() has it.
    timestamp_ns: int
    # How many were overwritten between this and the one that was read before it.
    lost: int


def create(
    name: str,
    *,
    capacity: int = 256 << 10,
    full: int = FULL_BLOCK,
    delivery: int = DELIVERY_SHARED,
    hangup: bool = False,
    mode: int = 0o600,
) -> None:
    """Makes a ring of records. What cannot be is an OSError."""
    argument = CREATE.pack(
        CREATE.size,
        FLAG_HANGUP if hangup else 0,
        capacity,
        FRAMING_RECORD,
        full,
        delivery,
        mode,
        os.geteuid(),
        os.getegid(),
        _encoded(name),
    )
    _control(IOC_CREATE, argument)


def destroy(name: str) -> None:
    """Removes a ring. Who has it open reads what is left, and then meets the end."""
    _control(IOC_DESTROY, NAME.pack(NAME.size, 0, _encoded(name)))


def _encoded(name: str) -> bytes:
    encoded = name.encode()
    # A longer one would be cut off by struct, and name another ring.
    if len(encoded) >= NAME_SIZE:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    return encoded


def _control(command: int, argument: bytes) -> None:
    fd = os.open("/dev/ring/control", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, command, argument)
    finally:
        os.close(fd)


class Ring:
    """An end of a ring of records: for reading with ``read=True``, else for writing."""

    def __init__(self, name: str, *, read: bool = False) -> None:
        access = os.O_RDONLY if read else os.O_WRONLY
        self._fd = os.open(f"/dev/ring/{name}", access | os.O_NONBLOCK | os.O_CLOEXEC)
        self._batch = BATCH
        if read:
            try:
                # EINVAL: it is a stream, and has no records.
                mode = READ_MODE.pack(READ_MODE.size, FLAG_HEADERS)
                fcntl.ioctl(self._fd, IOC_READ_MODE, mode)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes it; nobody may wait for it any more."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    async def send(self, payload: bytes) -> None:
        """Writes a record; waits for room, where the ring was made for that."""
        if not payload:
            raise ValueError("there are no empty records")
        loop = asyncio.get_running_loop()
        while True:
            try:
                # Taken whole or not at all.
                os.write(self._fd, payload)
            except BlockingIOError:
                await self._wait(loop.add_writer, loop.remove_writer)
            else:
                return

    async def receive(self) -> list[Record]:
        """Reads what is there, many records at once; waits for the first.

        Returns an empty list at the end.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                return parse(os.read(self._fd, self._batch))
            except BlockingIOError:
                await self._wait(loop.add_reader, loop.remove_reader)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                # The next record is longer, and stays until there is room for it.
                self._batch *= 2

    async def records(self) -> AsyncIterator[Record]:
        """Yields records until the end: of a ring with hangup, after its last writer."""
        while batch := await self.receive():
            for record in batch:
                yield record

    async def _wait(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        """Waits until the other side has done something; one task at a time may."""
        ready = asyncio.Event()
        add(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._fd)


def parse(batch: bytes) -> list[Record]:
    """Takes apart what a read has returned: whole records, each behind its header."""
    found: list[Record] = []
    at = 0
    while at < len(batch):
        length, _, sequence, timestamp_ns, lost = RECORD.unpack_from(batch, at)
        at += RECORD.size
        found.append(Record(batch[at : at + length], sequence, timestamp_ns, lost))
        # The last payload is without padding.
        at += length + -length % ALIGN
    return found


async def _write(name: str, writer: int, records: int) -> None:
    with Ring(name) as ring:
        for number in range(records):
            await ring.send(f"writer {writer}: {number}".encode())


async def _read(ring: Ring) -> Counter[str]:
    """Counts records by writer, whose own have to come in order."""
    counts: Counter[str] = Counter()
    async for record in ring.records():
        writer, _, number = record.payload.decode().partition(": ")
        if int(number) != counts[writer]:
            raise RuntimeError(f"{number} of {writer} came where {counts[writer]} was due")
        counts[writer] += 1
    return counts


async def show(name: str, writers: int, records: int) -> Counter[str]:
    """Has tasks write into a ring, which is small so that they have to wait, and one read."""
    create(name, capacity=4096, hangup=True)
    try:
        # The reader comes first, or writers would meet EPIPE; and one writer more than write, so
        # that the ring does not end before the last of these has begun.
        with Ring(name, read=True) as ring:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(_read(ring))
                with Ring(name):
                    async with asyncio.TaskGroup() as writing:
                        for writer in range(writers):
                            writing.create_task(_write(name, writer, records))
            return reader.result()
    finally:
        destroy(name)


def main() -> int:
    """Shows it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--ring", default=f"python.{os.getpid()}", help="the ring to make")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--records", type=int, default=1000, help="how many each writes")
    options = parser.parse_args()
    try:
        counts = asyncio.run(show(options.ring, options.writers, options.records))
    # What goes wrong in a task comes in a group.
    except (OSError, ExceptionGroup) as error:
        print(f"ring.py: {error}", file=sys.stderr)
        return 1
    for writer, count in sorted(counts.items()):
        print(f"{writer}: {count} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
