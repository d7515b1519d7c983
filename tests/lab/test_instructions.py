# SPDX-License-Identifier: GPL-2.0
"""The record of instructions: what is kept, and when the ring has become dearer."""

from pathlib import Path

from lab import costs, instructions

CONFIG = {
    "CONFIG_RUSTC_VERSION_TEXT": '"rustc 1.85.0"',
    "CONFIG_CC_VERSION_TEXT": '"clang 19.1.7"',
}
MEDIANS = {"64": {"ring": 900.4, "pipe": 1300.0}, "4096": {"ring": 2000.0, "pipe": 2100.0}}


def test_a_list_is_named_by_the_kernel_and_the_compilers() -> None:
    name = instructions.built_by("7.3.4", CONFIG)
    assert name == "Linux 7.3.4, rustc 1.85.0, clang 19.1.7"
    assert instructions.built_by("7.3.4", {}) == "Linux 7.3.4, ?, ?"


def test_what_is_written_can_be_read_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "instructions.json"
    assert instructions.read("one", file) is None
    instructions.write("one", MEDIANS, file)
    instructions.write("two", {"64": {"ring": 1.0}}, file)
    assert instructions.read("one", file) == {
        "64": {"ring": 900, "pipe": 1300},
        "4096": {"ring": 2000, "pipe": 2100},
    }
    assert instructions.read("two", file) == {"64": {"ring": 1}}
    assert instructions.read("three", file) is None


def test_the_ring_may_rise_by_two_per_cent() -> None:
    recorded = {"64": {"ring": 900.0, "pipe": 1300.0}}
    assert instructions.rises(recorded, {"64": {"ring": 918.0, "pipe": 9999.0}}) == []
    [sentence] = instructions.rises(recorded, {"64": {"ring": 919.0, "pipe": 1300.0}})
    assert sentence.startswith("64: ring needs 919 instructions")
    assert "2.1% more than the 900" in sentence


def test_records_may_not_rise_either() -> None:
    batch = "64, a batch by write"
    recorded = {batch: {"records": 600.0, "ring": 400.0, "records of twin": 500.0}}
    risen = {batch: {"records": 700.0, "ring": 400.0, "records of twin": 999.0}}
    [sentence] = instructions.rises(recorded, risen)
    assert sentence.startswith(f"{batch}: records needs 700")


def test_what_is_not_measured_any_more_does_not_count() -> None:
    assert instructions.rises({"64": {"ring": 900.0}}, {"128": {"ring": 2000.0}}) == []
    assert instructions.rises({"64": {"records": 900.0}}, {"64": {"ring": 2000.0}}) == []


def test_what_is_on_record_has_the_sizes_that_are_measured() -> None:
    for name in instructions.names():
        recorded = instructions.read(name)
        assert recorded is not None
        pairs = {
            (int(what), peer) for what in recorded if what.isdigit() for peer in recorded[what]
        }
        assert pairs <= set(costs.expected_pairs())


def test_the_record_has_a_list_for_the_kernel_that_was_tested() -> None:
    names = instructions.names()
    assert [name for name in names if name.startswith("Linux 7.3.4, ")]
    for name in names:
        assert instructions.read(name)
