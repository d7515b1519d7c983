# SPDX-License-Identifier: GPL-2.0
"""What guest and host say to each other over the ports: the record, and streams of bytes.

A port has no end that the host could see: QEMU keeps it open until it ends itself, and would
then drop what it still holds. So the guest closes each stream with the nonce of the run. A
stream without it has lost something.
"""

from collections.abc import Callable


class Stream:
    """Takes a stream of bytes as it comes from the guest, and finds its end."""

    def __init__(self, nonce: str) -> None:
        self._mark = nonce.encode() + b"\n"
        self._held = b""
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """Takes what has arrived and returns what of the stream is known to be content."""
        self._held += data
        content, mark, rest = self._held.partition(self._mark)
        if mark:
            self.complete = True
            self._held = rest
            return content
        # The mark is unique: only what may be its beginning has to wait.
        length = len(self._held) - self._possible_mark()
        content, self._held = self._held[:length], self._held[length:]
        return content

    def _possible_mark(self) -> int:
        longest = min(len(self._held), len(self._mark) - 1)
        lengths = range(longest, 0, -1)
        return next((n for n in lengths if self._mark.startswith(self._held[-n:])), 0)


class Record:
    """The lines in which the guest tells what happened: ``NONCE KEY [VALUE]``.

    What does not begin with the nonce is not the record, and is left out.
    """

    def __init__(self, nonce: str, heard: Callable[[str], None]) -> None:
        self._nonce = nonce
        self._heard = heard
        self._rest = b""
        self.facts: dict[str, str] = {}

    def feed(self, data: bytes) -> bytes:
        """Takes what has arrived. Nothing of it is content for anybody else."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            nonce, _, fact = line.decode(errors="replace").partition(" ")
            if nonce == self._nonce:
                key, _, value = fact.partition(" ")
                self.facts[key] = value
                self._heard(key)
        return b""

    @property
    def complete(self) -> bool:
        """The guest has said all that it had to say."""
        return "end" in self.facts
