# SPDX-License-Identifier: GPL-2.0
"""Tables: what they show, as text and in the documentation."""

from typing import Any

import pytest

from lab import performance, tables
from lab.report import aligned

Report = dict[str, Any]


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_is_as_wide_everywhere(results: Report, name: str) -> None:
    _, rows = tables.TABLES[name]
    lines = aligned(rows(results)).splitlines()
    assert len(lines) > 1
    assert len({len(line) for line in lines}) == 1


def test_what_a_peer_cannot_do_is_a_dash(results: Report) -> None:
    head, *rows = tables.instructions(results)
    assert rows[-1][0] == "1 MiB"
    assert rows[-1][head.index("seqpacket")] == "-"
    assert rows[1][:3] == ["64 B", "1,008", "1,258"]


def test_the_ring_is_compared_with_each(results: Report) -> None:
    head, *rows = tables.compared(results)
    assert head[:3] == ["size", "ring/pipe", "ring/pipe64"]
    assert head[-2:] == ["ring/twin", "ring - floor"]
    assert rows[1][1] == "0.801"
    assert rows[1][-2:] == ["1.052", "400"]


def test_batches_have_a_column_for_each_way(results: Report) -> None:
    assert tables.batches(results) == [
        ["through", "by write", "by io_uring"],
        ["ring", "450", "350"],
        ["records", "500", "-"],
        ["records of twin", "400", "-"],
    ]


def test_readers_have_a_column_each(results: Report) -> None:
    head, first, second, *_ = tables.broadcast(results)
    assert head == ["message", "through", "write to 1", "write to 8", "read by 1", "read by 8"]
    assert first == ["64 B", "ring", "400", "400", "400", "400"]
    assert second == ["64 B", "pipe", "600", "4,800", "600", "4,800"]


def test_overwriting_stands_beside_a_pair(results: Report) -> None:
    head, first, _ = tables.overwrite(results)
    assert head[1] == "ring, stream"
    assert first[-1] == "1,008"


def test_transfers_whose_control_failed_have_no_ratio(results: Report) -> None:
    results["throughput"][1]["is_good"] = False
    head, pipe, *_, control = tables.throughput(results)
    assert head == ["messages of", "64 B", "4 KiB", "64 KiB", "1 MiB"]
    assert pipe[:3] == ["pipe/ring", "1.50 (1.50 to 1.50)", "-"]
    assert control[2] == "1.00 (1.00 to 1.00)"
    assert tables.fan_in(results)[0] == ["writers", "1", "4"]


def test_wake_ups_stand_before_waits(results: Report) -> None:
    rows = tables.waking(results)
    assert rows[0][-1] == "64 B from 4"
    assert rows[1][:2] == ["ring: wake-ups", "0.0100"]
    assert ["pipe: waits", *["0.0200"] * 5] in rows


def test_what_a_driver_takes_is_by_the_rings(results: Report) -> None:
    assert tables.modules(results)[2] == ["twin", "25,000 B", "0.50", "0.50"]
    assert tables.memory(results)[1] == ["ring", "261.0 KiB", "261.0 KiB", "256 KiB"]


def test_the_documentation_has_all_tables_and_says_how_they_came_to_be(results: Report) -> None:
    about = {"kernel": "7.3.4", "rustc": "rustc 1.85", "qemu": "QEMU", "cpu": "max", "accel": "tcg"}
    files = performance.render(results | about)
    assert set(files) == {"setting.rst", *(f"{name}.rst" for name in tables.TABLES)}
    assert all(text.startswith(performance.HEAD) for text in files.values())
    assert "times under tcg" in files["setting.rst"]
    rule, head, *_ = files["batches.rst"].removeprefix(performance.HEAD).splitlines()
    assert head == "through          by write  by io_uring"
    assert rule == "===============  ========  ==========="
