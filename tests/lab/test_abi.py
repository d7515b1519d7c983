# SPDX-License-Identifier: GPL-2.0
"""Which changes of the header are red, and with which sentence; and what is recorded."""

from pathlib import Path

import pytest

from lab import abi, header, paths, toolchain
from lab.errors import Exit, LabError
from lab.header import Abi
from lab.ktap import Status
from lab.toolchain import Toolchain

# A header that is as ours, and small.
HEADER = """\
#ifndef GUARD
#define GUARD

#include <linux/ioctl.h>
#include <linux/types.h>

#define RINGDEV_NAME_SIZE\t32
#define RINGDEV_FLAG\t(1U << 31)

struct ringdev_info {
	__u32 size;
	__u32 flags;
	__u64 id;
	char name[RINGDEV_NAME_SIZE];
};

/** struct ringdev_record - it does not begin with its size */
struct ringdev_record {
	__u32 length;
	__u32 flags;
};

#define RINGDEV_IOC_INFO\t_IO('|', 0x98)

#endif
"""


@pytest.fixture(scope="module")
def tools() -> Toolchain:
    """A compiler; `make test` comes with it."""
    return toolchain.find(want={"abi"}, install=False)


@pytest.fixture(autouse=True)
def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree with this header, of which nothing is recorded."""
    monkeypatch.setattr(header, "INCLUDE", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(abi, "RECORD", tmp_path / "ringdev.abi")
    change()


def change(*changes: tuple[str, str]) -> None:
    """Makes changes to the header as it was at first."""
    text = HEADER
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = header.INCLUDE / header.NAME
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def see(tools: Toolchain, width: str = "64-bit") -> Abi:
    """Returns what the header is for the programs of a width."""
    return header.seen(tools, header.names(tools), width)


@pytest.fixture
def recorded(tools: Toolchain) -> Abi:
    """What the header was at first."""
    return see(tools)


def test_the_compiler_is_asked_what_there_is(recorded: Abi) -> None:
    info = recorded.structures["ringdev_info"]
    assert info.size == 48
    assert [(f.type, f.name, f.offset, f.size) for f in info.fields] == [
        ("__u32", "size", 0, 4),
        ("__u32", "flags", 4, 4),
        ("__u64", "id", 8, 8),
        ("char[32]", "name", 16, 32),
    ]
    assert recorded.constants == {
        "RINGDEV_NAME_SIZE": 32,
        "RINGDEV_FLAG": 1 << 31,
        "RINGDEV_IOC_INFO": 0x7C98,
    }


def test_what_is_written_is_what_is_read(recorded: Abi) -> None:
    text = abi.write(recorded)
    assert "struct ringdev_info, 48 bytes\n     0    4  __u32     size\n" in text
    assert "RINGDEV_IOC_INFO = 0x7c98\n" in text
    assert abi.read(text) == recorded


def test_a_damaged_record_is_refused(recorded: Abi) -> None:
    with pytest.raises(LabError, match=r"line 7 .*struct ringdev_info, 48$"):
        abi.read(abi.write(recorded).replace("info, 48 bytes", "info, 48"))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("	__u64 id;\n", "", "ringdev_info.id is gone"),
        ("__u64 id;", "__u64 number;", "ringdev_info.id is gone"),
        ("__u64 id;", "__s64 id;",
         "ringdev_info.id is __s64 (8 bytes) at 8; it was __u64 (8 bytes) at 8"),
        ("	__u32 flags;\n	__u64 id;", "	__u64 id;\n	__u32 flags;",
         "ringdev_info.flags is __u32 (4 bytes) at 16; it was __u32 (4 bytes) at 4"),
        ("[RINGDEV_NAME_SIZE]", "[24]", "struct ringdev_info has 40 bytes; it had 48"),
        ("	__u64 id;", "	__u64 more;\n	__u64 id;",
         "ringdev_info.more is new, and among the 48 bytes that were there"),
        ("__u64 id;", "__u32 id, more;",
         "ringdev_info.more is new, and among the 48 bytes that were there"),
        ("	__u32 flags;\n};", "	__u32 flags;\n	__u64 more;\n};",
         "struct ringdev_record has grown, and does not begin with its size"),
        ("struct ringdev_info", "struct ringdev_news", "struct ringdev_info is gone"),
        ("#define RINGDEV_FLAG	(1U << 31)\n", "", "RINGDEV_FLAG is gone"),
        ("<< 31", "<< 30", "RINGDEV_FLAG is 1073741824; it was 2147483648"),
        ("0x98", "0x99", "RINGDEV_IOC_INFO is 0x7c99; it was 0x7c98"),
        ("_IO('|', 0x98)", "_IOR('|', 0x98, struct ringdev_info)",
         "RINGDEV_IOC_INFO is 0x80307c98; it was 0x7c98"),
    ],
)  # fmt: skip
def test_what_breaks_a_program_is_red(
    tools: Toolchain, recorded: Abi, before: str, after: str, sentence: str
) -> None:
    change((before, after))
    assert sentence in abi.broken(recorded, see(tools))


@pytest.mark.parametrize(
    ("before", "after", "sentences"),
    [
        ("[RINGDEV_NAME_SIZE];\n", "[RINGDEV_NAME_SIZE];\n	__u64 more;\n",
         ["ringdev_info.more is new", "struct ringdev_info has grown from 48 to 56 bytes"]),
        ("#endif", "#define RINGDEV_MORE	7\n#endif", ["RINGDEV_MORE is new"]),
        ("#endif", "struct ringdev_more {\n	__u32 size;\n};\n#endif",
         ["struct ringdev_more is new"]),
    ],
)  # fmt: skip
def test_an_addition_is_red_until_it_is_recorded(
    tools: Toolchain, recorded: Abi, before: str, after: str, sentences: list[str]
) -> None:
    change((before, after))
    now = see(tools)
    assert abi.broken(recorded, now) == []
    assert abi.added(recorded, now) == sentences
    assert abi.added(abi.read(abi.write(now)), now) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("__u64 id;", "long id;",
         "ringdev_info.id is long (8 bytes) at 8, and for 32-bit programs long (4 bytes) at 8"),
        ("[RINGDEV_NAME_SIZE];", "[28];\n	__u64 more;\n	__u32 rest;",
         "struct ringdev_info has 64 bytes, and for 32-bit programs 56"),
        ("(1U << 31)", "sizeof(long)", "RINGDEV_FLAG is 8, and for 32-bit programs 4"),
    ],
)  # fmt: skip
def test_what_differs_for_32_bit_programs_is_red(
    tools: Toolchain, before: str, after: str, sentence: str
) -> None:
    change((before, after))
    assert sentence in abi.differences(see(tools), see(tools, "32-bit"))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("__u32 flags;", "__u32 flags : 3;", "ringdev_info"),
        ("__u32 flags;", "union { __u32 flags; __u32 more; };", "ringdev_info"),
        ("struct ringdev_record {", "union ringdev_record {", "ringdev_record"),
        ("struct ringdev_record {", "enum ringdev_more { A };\nstruct ringdev_record {", "more"),
        ("struct ringdev_record {", "typedef int ringdev_t;\nstruct ringdev_record {", "ringdev_t"),
        ("RINGDEV_FLAG	", "RINGDEV_FLAG(n) n ", r"RINGDEV_FLAG\(n\)"),
        ("__u64 id;", "__u65 id;", "does not compile"),
        ("(1U << 31)", '"/dev/ring"', "does not compile"),
    ],
)
def test_what_the_record_does_not_know_is_refused(
    tools: Toolchain, before: str, after: str, what: str
) -> None:
    change((before, after))
    with pytest.raises(LabError, match=what):
        see(tools)


@pytest.mark.parametrize(
    ("changes", "language", "said"),
    [
        ([], "", ""),
        ([("#include <linux/types.h>\n", "")], "", "__u32"),
        ([("#include <linux/ioctl.h>\n", "")], "", "_IO"),
        ([("	__u64 id;", "	__u8 more;\n	__u64 id;")], "", "padded"),
        ([("__u64 id;", "__u64 class;")], "C++", "class"),
        ([("__u64 id;", "__u64 id;;")], "", "extra"),
        ([("(1U << 31)", "(RINGDEV_NONE)")], "", "RINGDEV_NONE"),
    ],
)
def test_the_header_has_to_compile_alone_without_a_warning(
    tools: Toolchain, changes: list[tuple[str, str]], language: str, said: str
) -> None:
    declared = header.names(tools)
    change(*changes)
    ways = [(way.name, way.command) for way in header.compilations(tools) if way.command]
    assert len(ways) >= 4
    for name, command in ways:
        complaint = header.complaints(command, declared)
        if said and language in name:
            assert said in complaint, name
        else:
            assert not complaint, name


def failed(tools: Toolchain) -> set[str]:
    """Returns the names of the tests that failed."""
    _, found = abi.tests(tools, "")
    assert found
    return {result.name for result in found if result.status is Status.FAILED}


def test_without_a_record_all_is_new(tools: Toolchain) -> None:
    assert failed(tools) == {"what_was_added_is_recorded"}
    assert abi.main([]) == Exit.PASSED
    assert failed(tools) == set()


def test_additions_are_recorded(tools: Toolchain) -> None:
    assert abi.main([]) == Exit.PASSED
    change(("#endif", "#define RINGDEV_MORE 7\n#endif"))
    assert failed(tools) == {"what_was_added_is_recorded"}
    assert abi.main([]) == Exit.PASSED
    assert failed(tools) == set()


def test_what_breaks_programs_is_not_recorded_before_the_record_is_gone(
    tools: Toolchain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert abi.main([]) == Exit.PASSED
    before = abi.RECORD.read_text()
    change(("0x98", "0x99"))
    assert failed(tools) == {"what_programs_know_is_as_it_was"}
    assert abi.main([]) == Exit.TESTS_FAILED
    assert "RINGDEV_IOC_INFO is 0x7c99; it was 0x7c98" in capsys.readouterr().err
    assert abi.RECORD.read_text() == before
    abi.RECORD.unlink()
    assert abi.main([]) == Exit.PASSED
    assert failed(tools) == set()


def test_what_differs_for_32_bit_programs_is_never_recorded() -> None:
    change(("__u64 id;", "long id;"))
    assert abi.main([]) == Exit.TESTS_FAILED
    assert not abi.RECORD.exists()


def test_a_header_that_does_not_compile_is_red(tools: Toolchain) -> None:
    change(("__u64 id;", "__u65 id;"))
    assert failed(tools) == {"the_header_and_its_record_can_be_read"}


def test_a_compiler_that_is_not_there_is_skipped(
    tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    _, found = abi.tests(tools, "")
    skipped = [result.name for result in found if result.status is Status.SKIPPED]
    assert len(skipped) == 4
    assert all("gcc" in name or "g++" in name for name in skipped)


def test_only_chooses(tools: Toolchain) -> None:
    _, found = abi.tests(tools, "*clang, 32-bit*")
    assert [result.name for result in found] == [
        "the_header_compiles_alone (C99, clang, 32-bit)",
        "the_header_compiles_alone (C++, clang, 32-bit)",
    ]
