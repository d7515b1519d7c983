# SPDX-License-Identifier: GPL-2.0
"""Streams and the record: what is content, what is the end, and what is neither."""

import pytest

from lab.channel import Record, Stream

NONCE = "00112233445566778899aabbccddeeff"
MARK = NONCE.encode() + b"\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 33, 1000])
@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"hello\n", bytes(range(256)) * 3, MARK[:-1], MARK[:20] * 3, b"\n\n", b"00"],
)
def test_a_stream_arrives_whole_however_it_is_cut(content: bytes, size: int) -> None:
    stream = Stream(NONCE)
    sent = content + MARK
    got = b"".join(stream.feed(sent[at : at + size]) for at in range(0, len(sent), size))
    assert got == content
    assert stream.complete


def test_a_stream_without_its_mark_is_not_complete() -> None:
    stream = Stream(NONCE)
    assert stream.feed(b"some of it" + MARK[:-1]) == b"some of it"
    assert not stream.complete


def test_another_runs_mark_is_content() -> None:
    stream = Stream(NONCE)
    assert stream.feed(b"f" * 32 + b"\n") == b"f" * 32 + b"\n"
    assert not stream.complete


def test_the_record_takes_only_lines_with_its_nonce() -> None:
    heard: list[str] = []
    record = Record(NONCE, heard.append)
    for piece in (f"{NONCE} kern", f"el 7.3.4\nexit 0\n{'f' * 32} exit 0\n{NONCE} ex", "it 7\n"):
        assert record.feed(piece.encode()) == b""
    assert record.facts == {"kernel": "7.3.4", "exit": "7"}
    assert heard == ["kernel", "exit"]
    assert not record.complete


def test_the_record_is_complete_with_its_last_line_and_not_before() -> None:
    heard: list[str] = []
    record = Record(NONCE, heard.append)
    record.feed(f"{NONCE} end".encode())
    assert not record.complete
    record.feed(b"\n")
    assert record.complete
