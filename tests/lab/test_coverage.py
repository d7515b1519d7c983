# SPDX-License-Identifier: GPL-2.0
"""Which lines were reached: what the tools of LLVM say, read."""

from pathlib import Path

from lab import coverage
from lab.toolchain import Toolchain

RELOCATIONS = """
Relocation section '.rela.text' at offset 0x1000 contains 4 entries:
    Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
0000000000000015  0000002a00000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4
0000000000000020  0000002b00000004 R_X86_64_PLT32  0000000000000000 mutex_lock - 4
0000000000000031  0000002a00000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4

Relocation section '.rela.init.text' at offset 0x2000 contains 1 entry:
0000000000000005  0000002a00000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4
"""

# Each address, and then from the innermost function outwards.
SYMBOLS = """0x14
inlined
/cache/in/src/channel/read.rs:70
outer
/cache/in/src/endpoint.rs:12
0x30
of_the_crate
/kernel/rust/kernel/sync/lock.rs:5
outer
/cache/in/src/channel/read.rs:81 (discriminator 2)
core
/usr/lib/rustlib/src/rust/library/core/src/option.rs:9
0x40
nowhere
??:0
"""


def test_the_places_are_those_that_kcov_can_record() -> None:
    assert coverage.traced(RELOCATIONS) == [0x19, 0x35]


def test_a_place_belongs_to_the_lines_of_the_driver_that_led_there() -> None:
    assert coverage.located(SYMBOLS) == {
        0x14: {("src/channel/read.rs", 70), ("src/endpoint.rs", 12)},
        0x30: {("src/channel/read.rs", 81)},
    }


def test_a_line_is_reached_if_any_of_its_places_is() -> None:
    places = {
        1: {("src/a.rs", 10)},
        2: {("src/a.rs", 10)},
        3: {("src/a.rs", 11)},
        4: {("src/b.rs", 1)},
    }
    files = coverage.lines(places, [2])
    assert (files["src/a.rs"].reached, files["src/a.rs"].others) == ({10}, {11})
    assert (files["src/b.rs"].reached, files["src/b.rs"].others) == (set(), {1})


def test_the_table_counts_lines_and_the_list_names_them() -> None:
    places = {
        1: {("src/a.rs", 10)},
        2: {("src/a.rs", 11)},
        3: {("src/b.rs", 10)},
        4: {("src/b.rs", 7)},
    }
    files = coverage.lines(places, [1, 3])
    rows = [line.split() for line in coverage.table(files).splitlines()]
    assert rows[1:] == [
        ["2", "1", "50", "%", "src/a.rs"],
        ["2", "1", "50", "%", "src/b.rs"],
        ["4", "2", "50", "%", "all"],
    ]
    assert coverage.unreached(files, ["src/b"]) == "not reached: src/b.rs: 7"
    assert coverage.unreached(files, ["src/c"]) == "all lines that are listed were reached"


def test_the_tools_of_llvm_are_asked_for_each_place(tmp_path: Path) -> None:
    module = tmp_path / "ringdev.ko"
    for name, text in (
        ("llvm-readelf", f"cat <<'E'\n{RELOCATIONS}E"),
        # It is asked for the calls, and says what it was asked.
        ("llvm-symbolizer", f"cat >{tmp_path}/asked; cat <<'E'\n{SYMBOLS}E"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    tc = Toolchain({"rustc": Path("/usr/bin/rustc")}, llvm_bin=tmp_path)
    files = coverage.of(module, [0x19], tc)
    assert (tmp_path / "asked").read_text() == "0x14\n0x30\n"
    assert files["src/endpoint.rs"].reached == {12}
    assert (files["src/channel/read.rs"].reached, files["src/channel/read.rs"].others) == (
        {70},
        {81},
    )
