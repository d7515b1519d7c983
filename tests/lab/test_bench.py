# SPDX-License-Identifier: GPL-2.0
"""The measurement: what a report must have to bear figures, and when the ring has won."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from lab import bench
from lab.bench import NoFigures
from lab.boot import Outcome
from lab.errors import Exit, UsageError
from lab.lane import Lane
from lab.qemu import Machine, Port
from lab.verdict import Verdict

Report = dict[str, Any]

# What a pair costs in the report below, by peer, at 64 bytes; larger ones cost a bit more.
PER_PAIR = {
    "ring": 1000,
    "pipe": 1250,
    "unix": 2000,
    "kfifo": 1100,
    "twin": 950,
    "floor": 600,
    "null": 500,
}
OVERHEAD = 300
PAIRS = 100


def series(peer: str, size: int, per_pair: float) -> Report:
    total = round(OVERHEAD + PAIRS * per_pair)
    # Two of the repetitions were interrupted, and took longer.
    return {
        "peer": peer,
        "size": size,
        "pairs": PAIRS,
        "overhead": OVERHEAD,
        "instructions": [total, total + 5000, total + 10, total, total, total + 2700, total],
        "interrupts": [0, 2, 0, 0, 0, 1, 0],
    }


def times() -> Report:
    transfers = [
        {
            "round": number,
            "size": 64,
            "peer": peer,
            "messages": 10,
            "nanoseconds": 1000,
            "waits": 0,
        }
        for number in range(1, 16)
        for peer in ("ring", "again", "pipe", "unix", "kfifo", "twin")
    ]
    return {"transfers": transfers, "round_trips": [{"peer": "ring", "nanoseconds": [1]}]}


def report() -> Report:
    return {
        **times(),
        "batches": [series(peer, 64, 500) for peer in ("records", "ring", "pipe", "unix")],
        "clocksource": "tsc",
        "calibration": {"instructions": 2_000_000, "nanoseconds": 2_000_081},
        "vulnerabilities": {
            "meltdown": "Mitigation: PTI",
            "mds": "Not affected",
            "spectre_v2": "Vulnerable",
        },
        "holds": {"ring": 262144, "pipe": 262144, "unix": 442368},
        "series": [
            series(peer, size, per_pair + size / 8)
            for size in bench.SIZES
            for peer, per_pair in PER_PAIR.items()
        ],
    }


def of(a_report: Report, peer: str, size: int) -> Report:
    found: Report = next(s for s in a_report["series"] if (s["peer"], s["size"]) == (peer, size))
    return found


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """Returns a lane that has what the measurement looks at, and no kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    @dataclass(frozen=True)
    class Fake:
        accel: str = "kvm"
        config: ClassVar[Mapping[str, str]] = {
            "CONFIG_RUSTC_VERSION_TEXT": '"rustc 1.96.0 (somewhere)"'
        }
        kernel = SimpleNamespace(release="7.3.4")
        tools = SimpleNamespace(tool=lambda name: Path("/nonexistent") / name)
        signed_modules = False

        def module(self, *, kunit: bool) -> Path:
            assert not kunit, "a module that is measured has no tests in it"
            return Path("/nonexistent/ringdev.ko")

        def machine(self, append: tuple[str, ...]) -> Machine:
            return Machine(Path("/nonexistent/qemu"), self.accel, Path("bzImage"), append=append)

        def limits(self, command: float | None) -> None:
            assert command is not None

    return cast("Lane", Fake())


def test_the_loop_and_the_interrupted_repetitions_do_not_count() -> None:
    cost = bench.read_costs(report())[64, "ring"]
    assert cost.minimum == 1008
    assert cost.median == 1008
    assert cost.maximum == 1008.1
    assert cost.quiet == 5
    assert len(cost.all) == 7
    assert cost.all[1] == 1058


def test_the_share_of_the_interrupts_is_what_the_interrupted_took_longer() -> None:
    one = {(64, "ring"): replace(bench.read_costs(report())[64, "ring"])}
    total = sum(one[64, "ring"].all)
    assert bench.interrupted(one) == pytest.approx((50 + 27 + 0.1) / total)


def test_a_report_without_interrupts_has_no_share_of_them() -> None:
    calm = report()
    for each in calm["series"]:
        each["instructions"] = [each["instructions"][0]] * 7
        each["interrupts"] = [0] * 7
    assert bench.interrupted(bench.read_costs(calm)) == pytest.approx(0)


@pytest.mark.parametrize("peer", bench.PEERS)
@pytest.mark.parametrize("size", bench.SIZES)
def test_a_report_that_lacks_a_figure_is_refused(peer: str, size: int) -> None:
    short = report()
    short["series"].remove(of(short, peer, size))
    with pytest.raises(NoFigures, match=f"lacks .*{size}.*{peer}"):
        bench.read_costs(short)


def test_a_figure_needs_enough_repetitions_without_an_interrupt() -> None:
    busy = report()
    of(busy, "pipe", 4096)["interrupts"] = [0, 2, 0, 1, 0, 1, 0]
    with pytest.raises(NoFigures, match="all but 4 of 7 repetitions of pipe at 4096 bytes"):
        bench.read_costs(busy)


def test_repetitions_that_differ_are_refused() -> None:
    vague = report()
    instructions = of(vague, "unix", 1024)["instructions"]
    quiet = instructions[0]
    instructions[2] = round(quiet + 0.0045 * quiet)
    bench.read_costs(vague)
    instructions[2] = round(quiet + 0.006 * quiet)
    with pytest.raises(NoFigures, match=r"unix at 1024 bytes differ by 0\.6%"):
        bench.read_costs(vague)


def test_a_repetition_without_its_count_of_interrupts_is_refused() -> None:
    torn = report()
    of(torn, "ring", 64)["interrupts"].pop()
    with pytest.raises(ValueError, match="shorter"):
        bench.read_costs(torn)


def test_the_ring_wins_where_it_needs_the_fewest_everywhere() -> None:
    assert bench.defeats(bench.read_costs(report())) == []


@pytest.mark.parametrize("rival", bench.RIVALS)
@pytest.mark.parametrize("size", bench.SIZES)
def test_the_ring_has_lost_where_it_needs_as_many(size: int, rival: str) -> None:
    even = report()
    of(even, rival, size)["instructions"] = of(even, "ring", size)["instructions"]
    [sentence] = bench.defeats(bench.read_costs(even))
    assert rival in sentence
    assert ("64 KiB" if size == 65536 else str(size % 1023)) in sentence


@pytest.mark.parametrize("peer", ["twin", "floor", "null"])
def test_the_others_are_no_rivals(peer: str) -> None:
    cheap = report()
    of(cheap, "ring", 64)["instructions"] = of(cheap, peer, 64)["instructions"]
    assert bench.defeats(bench.read_costs(cheap)) == []


def test_the_table_has_a_row_for_each_size_and_its_columns_are_aligned() -> None:
    lines = bench.table(bench.read_costs(report())).splitlines()
    assert lines[0].split() == [
        "size", "ring", "pipe", "unix", "kfifo", "twin", "floor", "null",
        "ring/pipe", "ring/unix", "ring/kfifo", "ring/twin", "ring-floor",
    ]  # fmt: skip
    assert lines[2].split() == [
        "64", "B", "1,008", "1,258", "2,008", "1,108", "958", "608", "508",
        "0.801", "0.502", "0.910", "1.052", "400",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[1:]] == [
        ["16", "B"], ["64", "B"], ["256", "B"], ["1", "KiB"], ["4", "KiB"], ["64", "KiB"],
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1


def test_the_batches_have_a_row_each() -> None:
    batches = [bench._cost(each) for each in report()["batches"]]
    lines = bench.batch_table(batches).splitlines()
    assert [line.split() for line in lines[:2]] == [["through", "instructions"], ["records", "500"]]
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1


def test_the_results_say_how_they_were_come_by(where: Lane) -> None:
    a_report = report()
    costs = bench.read_costs(a_report)
    results = bench.describe(where, a_report, costs)
    assert results["kernel"] == "7.3.4"
    assert results["rustc"] == "rustc 1.96.0 (somewhere)"
    assert results["mitigations"] == {"meltdown": "Mitigation: PTI"}
    assert results["ring_wins"] is True
    assert len(results["costs"]) == len(bench.SIZES) * len(bench.PEERS)

    notes = bench.notes(results, costs)
    assert "meltdown (Mitigation: PTI)" in notes
    assert "pipe 256 KiB" in notes
    assert "84 of 294 repetitions" in notes
    assert "2000000 instructions took 2000081 ns of tsc" in notes
    assert max(map(len, notes.splitlines())) <= bench.WIDTH

    a_report["vulnerabilities"] = {}
    assert "Mitigations: none" in bench.notes(bench.describe(where, a_report, costs), costs)


def test_the_results_are_kept_for_each_revision(where: Lane) -> None:
    a_report = report()
    results = bench.describe(where, a_report, bench.read_costs(a_report))
    first = bench.keep({**results, "revision": "abc"})
    second = bench.keep({**results, "revision": None})
    assert json.loads(first.read_text())["revision"] == "abc"
    assert first.name == "abc-7.3.4.json"
    assert second.name == f"{results['source'][:12]}-7.3.4.json"
    assert bench.keep({**results, "revision": "abc"}) == first
    assert sorted(first.parent.iterdir()) == sorted([first, second]), "and nothing besides"


def test_the_hash_of_the_sources_follows_them(tmp_path: Path) -> None:
    (tmp_path / "src/ring").mkdir(parents=True)
    (tmp_path / "include").mkdir()
    (tmp_path / "Kbuild").write_text("obj-m := ringdev.o\n")
    code = tmp_path / "src/ring/mod.rs"
    code.write_text("one\n")
    first = bench.source_hash(tmp_path)
    (tmp_path / "src/ring/mod.o").write_text("a product")
    (tmp_path / "README.md").write_text("not of the module")
    assert bench.source_hash(tmp_path) == first
    code.write_text("two\n")
    second = bench.source_hash(tmp_path)
    assert second != first
    code.rename(code.with_name("other.rs"))
    assert bench.source_hash(tmp_path) not in (first, second)


def run(
    where: Lane, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, judged: Verdict
) -> tuple[int, Machine]:
    """Runs the verb with a guest that has already ended."""
    booted: list[Machine] = []

    def boot(machine: Machine, *_: object) -> Outcome:
        booted.append(machine)
        return outcome

    monkeypatch.setattr("lab.lane.prepare", lambda _name: where)
    monkeypatch.setattr("lab.toolchain.find", lambda **_: None)
    monkeypatch.setattr("lab.cargo.guest_programs", lambda *_: {bench.PROGRAM: Path("x")})
    monkeypatch.setattr("lab.module.build_external", lambda *_: Path("/peers"))
    monkeypatch.setattr("lab.bench.boot", boot)
    monkeypatch.setattr("lab.verdict.judge", lambda *_, **__: judged)
    return bench.main([]), booted[0]


def outcome(stdout: str, code: int = 0, stderr: str = "") -> Outcome:
    outputs = {Port.STDOUT: stdout, Port.STDERR: stderr}
    return Outcome(Path("log"), facts={"exit": str(code)}, outputs=outputs)


GOOD = Verdict(Exit.PASSED)


def test_the_exit_code_is_good_when_the_ring_wins(
    where: Lane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, machine = run(where, monkeypatch, outcome(json.dumps(report())), GOOD)
    assert code == Exit.PASSED
    assert machine.icount
    assert machine.accel == "tcg", "also where KVM works"
    last = capsys.readouterr().out.splitlines()[-1]
    path = Path(last.removeprefix("results: "))
    assert json.loads(path.read_text())["schema"] == bench.SCHEMA


def test_the_exit_code_is_bad_when_the_ring_does_not(
    where: Lane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = report()
    of(slow, "ring", 4096)["instructions"] = of(slow, "unix", 4096)["instructions"]
    code, _ = run(where, monkeypatch, outcome(json.dumps(slow)), GOOD)
    assert code == Exit.TESTS_FAILED
    captured = capsys.readouterr()
    assert "at 4 KiB the ring needs 2512 instructions, not fewer than the 1762 of pipe" in (
        captured.err
    )
    path = Path(captured.out.splitlines()[-1].removeprefix("results: "))
    assert json.loads(path.read_text())["ring_wins"] is False


def test_a_program_that_refuses_to_measure_gives_its_reason(
    where: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = outcome("", code=1, stderr="ringdev-bench: a loop of 2 instructions took 7 ns\n")
    with pytest.raises(NoFigures, match="a loop of 2 instructions took 7 ns; logs") as error:
        run(where, monkeypatch, refused, GOOD)
    assert error.value.exit is Exit.NO_VERDICT


@pytest.mark.parametrize("stdout", ["", "{", '{"series": []} and more'])
def test_a_report_that_is_torn_is_refused(
    where: Lane, monkeypatch: pytest.MonkeyPatch, stdout: str
) -> None:
    with pytest.raises(NoFigures, match="no JSON"):
        run(where, monkeypatch, outcome(stdout), GOOD)


def test_figures_of_a_guest_in_trouble_do_not_count(
    where: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoFigures, match="marked in a way") as error:
        run(where, monkeypatch, outcome(json.dumps(report())), Verdict(Exit.TAINT))
    assert error.value.exit is Exit.TAINT


def test_other_lanes_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANE", "debug")
    with pytest.raises(UsageError, match="plain lane alone"):
        bench.main([])


def test_a_machine_that_counts_has_one_cpu_and_one_thread() -> None:
    machine = Machine(Path("qemu"), "tcg", Path("bzImage"), cpus=2, icount=True)
    command = machine.command("initramfs", {})
    assert command[command.index("-accel") + 1] == "tcg,thread=single"
    assert command[command.index("-smp") + 1] == "1"
    assert command[command.index("-icount") + 1] == "shift=0,sleep=off"
    assert "-icount" not in replace(machine, icount=False).command("initramfs", {})
