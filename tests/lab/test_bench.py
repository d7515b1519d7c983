# SPDX-License-Identifier: GPL-2.0
"""The verb: which guests it boots, what it keeps, and how it ends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from lab import bench, costs
from lab.boot import Outcome
from lab.costs import Costs, NoFigures
from lab.errors import Exit, UsageError
from lab.lane import Lane
from lab.qemu import Machine, Port
from lab.tables import TABLES
from lab.verdict import Verdict

Report = dict[str, Any]


def of(a_report: Report, peer: str, size: int) -> Report:
    found: Report = next(s for s in a_report["pairs"] if (s["peer"], s["size"]) == (peer, size))
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


def test_the_results_say_how_they_were_come_by(where: Lane, report: Report, counted: Costs) -> None:
    results = bench.describe(where, report, counted)
    assert results["kernel"] == "7.3.4"
    assert results["rustc"] == "rustc 1.96.0 (somewhere)"
    assert results["mitigations"] == {"meltdown": "Mitigation: PTI"}
    assert results["ring_wins"] is True
    assert len(results["pairs"]) == len(counted["pairs"])
    assert results["batches"][0]["way"] == "write"

    notes = bench.notes(results, counted)
    assert "meltdown (Mitigation: PTI)" in notes
    assert "pipe 256 KiB" in notes
    every = len(costs.flat(counted))
    assert f"{2 * every} of {7 * every} repetitions" in notes
    assert "2000000 instructions took 2000081 ns of tsc" in notes
    assert max(map(len, notes.splitlines())) <= bench.WIDTH

    report["vulnerabilities"] = {}
    assert "Mitigations: none" in bench.notes(bench.describe(where, report, counted), counted)


def test_the_results_are_kept_for_each_revision(
    where: Lane, report: Report, counted: Costs
) -> None:
    results = bench.describe(where, report, counted)
    first = bench.keep({**results, "revision": "abc"})
    second = bench.keep({**results, "revision": None})
    assert json.loads(first.read_text())["revision"] == "abc"
    assert first.name == "abc-7.3.4.json"
    assert second.name == f"{results['source'][:12]}-7.3.4.json"
    assert bench.keep({**results, "revision": "abc"}) == first
    assert sorted(first.parent.iterdir()) == sorted([first, second]), "and nothing besides"


def run(
    where: Lane, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, judged: Verdict
) -> tuple[int, Machine]:
    """Runs the verb with guests that have already ended."""
    booted: list[Machine] = []

    def boot(machine: Machine, *_: object) -> Outcome:
        booted.append(machine)
        return outcome

    monkeypatch.setattr("lab.lane.prepare", lambda _name: where)
    monkeypatch.setattr("lab.toolchain.find", lambda **_: None)
    monkeypatch.setattr("lab.cargo.guest_programs", lambda *_: {bench.PROGRAM: Path("x")})
    monkeypatch.setattr("lab.module.build_external", lambda *_: Path("/peers"))
    monkeypatch.setattr("lab.module.text_size", lambda *_: 1000)
    monkeypatch.setattr("lab.module.seconds", lambda *_: 2.0)
    monkeypatch.setattr("lab.module.seconds_external", lambda *_: 1.0)
    monkeypatch.setattr("lab.bench.boot", boot)
    monkeypatch.setattr("lab.verdict.judge", lambda *_, **__: judged)
    return bench.main([]), booted[0]


def outcome(stdout: str, code: int = 0, stderr: str = "") -> Outcome:
    outputs = {Port.STDOUT: stdout, Port.STDERR: stderr}
    return Outcome(Path("log"), facts={"exit": str(code)}, outputs=outputs)


GOOD = Verdict(Exit.PASSED)


def test_the_exit_code_is_good_when_the_ring_wins(
    where: Lane,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    report: Report,
    times: Report,
) -> None:
    code, machine = run(where, monkeypatch, outcome(json.dumps(report | times)), GOOD)
    assert code == Exit.PASSED
    assert machine.icount
    assert machine.accel == "tcg", "also where KVM works"
    said = capsys.readouterr().out
    assert all(f"{title}:" in said for name, (title, _) in TABLES.items() if name != "switches")
    path = Path(said.splitlines()[-1].removeprefix("results: "))
    assert json.loads(path.read_text())["schema"] == bench.SCHEMA


def test_the_exit_code_is_bad_when_the_ring_does_not(
    where: Lane,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    report: Report,
    times: Report,
) -> None:
    of(report, "ring", 4096)["instructions"] = of(report, "unix", 4096)["instructions"]
    code, _ = run(where, monkeypatch, outcome(json.dumps(report | times)), GOOD)
    assert code == Exit.TESTS_FAILED
    captured = capsys.readouterr()
    assert "at 4 KiB the ring needs 2512 instructions, not fewer than the 1762 of pipe" in (
        captured.err
    )
    path = Path(captured.out.splitlines()[-1].removeprefix("results: "))
    assert json.loads(path.read_text())["ring_wins"] is False


def test_the_gate_alone_shows_what_it_has_counted_and_keeps_nothing(
    where: Lane,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    report: Report,
) -> None:
    monkeypatch.setenv("GATE", "1")
    code, _ = run(where, monkeypatch, outcome(json.dumps(report)), GOOD)
    assert code == Exit.PASSED
    said = capsys.readouterr().out
    shown = [name for name, (title, _) in TABLES.items() if f"{title}:" in said]
    assert shown == list(bench.GATED)
    assert "results:" not in said
    of(report, "ring", 4096)["instructions"] = of(report, "unix", 4096)["instructions"]
    code, _ = run(where, monkeypatch, outcome(json.dumps(report)), GOOD)
    assert code == Exit.TESTS_FAILED
    assert "at 4 KiB the ring needs 2512 instructions" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["RECORD", "SWITCHES"])
def test_the_gate_alone_records_nothing(
    where: Lane, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setenv("GATE", "1")
    monkeypatch.setenv(other, "1")
    with pytest.raises(UsageError, match="GATE=1"):
        run(where, monkeypatch, outcome(""), GOOD)


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
    where: Lane, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    with pytest.raises(NoFigures, match="marked in a way") as error:
        run(where, monkeypatch, outcome(json.dumps(report)), Verdict(Exit.TAINT))
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
