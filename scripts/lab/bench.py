# SPDX-License-Identifier: GPL-2.0
"""``make bench``: the instructions of a write(2) and the read(2) of what it wrote.

Through the ring, and beside it through a pipe of the same capacity, a pair of AF_UNIX stream
sockets, and a driver in C around a kfifo (tests/peers). tests/bench, in a guest of the plain lane,
does the counting: the guest has one CPU, and its clock advances by a nanosecond with each
instruction, so the figures are the same on every machine and at every load. The ring has to need
fewer than all others at every size.

Nor may it need more than two per cent more than tests/bench/instructions.json has for this kernel
and these compilers (RECORD=1 writes it).

Then times are compared, of transfers between two CPUs (throughput.py). They depend on the machine,
and decide nothing.

The results are kept as JSON in the folder ``bench`` of the cache, in a file for each revision
and kernel:

    schema         1, until a member changes its meaning or goes
    kernel         its release
    rustc          what compiled that kernel, and the module
    revision       git describe of this tree; null where that does not work
    source         SHA-256 of the module's sources
    qemu, cpu      its version, and the CPU it was told to emulate
    clocksource    the guest's clock ...
    calibration    ... and what it made of a loop of known length: instructions, nanoseconds
    mitigations    those that the guest's kernel has on, by the fault that they are for
    capacity       bytes that each peer held when it was filled in pieces of 4 KiB
    interrupted    the share of the instructions that interrupts took, which no figure contains
    costs          a list, for each size and peer: size (in bytes), peer, pairs (in a repetition),
                   minimum, median and maximum (instructions per pair, over the repetitions that
                   no interrupt fell into), quiet (the number of these), all (instructions per
                   pair of each repetition, in their order)
    batches        the same for messages that are written one by one and read 32 at once: by
                   message; "records" is a ring with records, whose reader gets their headers
    ring_wins      whether the ring's median is the least at every size
    throughput     how the times of transfers compare: throughput.py

Three peers are no rivals. "twin" is the same driver in C, by the same design (tests/peers/twin):
the ring to it is Rust to C. "floor" is a device of tests/peers that copies to and from one buffer,
and does nothing else: what a device costs more than that is its own. "null" is write(2) to and
read(2) from /dev/null, two system calls through the VFS that copy nothing.
"""

import argparse
import hashlib
import json
import os
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from lab import (
    cargo,
    decode,
    instructions,
    lane,
    logs,
    module,
    paths,
    performance,
    throughput,
    toolchain,
    units,
    verdict,
)
from lab.boot import boot
from lab.clean import PRODUCT
from lab.errors import Exit, LabError, UsageError
from lab.lane import Lane
from lab.qemu import TCG_CPU, Port
from lab.report import aligned, say
from lab.task import Task

SCHEMA = 1
WIDTH = 90
SIZES = (16, 64, 256, 1024, 4096, 65536)
PEERS = ("ring", "pipe", "unix", "kfifo", "twin", "floor", "null")
RIVALS = ("pipe", "unix", "kfifo")
# Modules, by their folder.
MODULES = {
    "tests/peers": ("ringdev_floor", "ringdev_kfifo"),
    "tests/peers/twin": ("ringdev_twin",),
}
PROGRAM = "ringdev-bench"
SECONDS = 600.0

# A figure rests on at least so many repetitions without an interrupt ...
QUIET_MIN = 5
# ... and means something if they agree to this part of it. They do to a ten-thousandth.
SPREAD_MAX = 0.005


class NoFigures(LabError):
    """Something was measured, but not what the figures would claim."""

    def __init__(self, sentence: str, code: Exit = Exit.NO_VERDICT) -> None:
        super().__init__(sentence)
        self.exit = code


@dataclass(frozen=True)
class Cost:
    """What a pair costs through one peer at one size, in instructions."""

    size: int
    peer: str
    pairs: int
    minimum: float
    median: float
    maximum: float
    quiet: int
    all: tuple[float, ...]

    @property
    def spread(self) -> float:
        """How far the quiet repetitions differ, as a part of their median."""
        return (self.maximum - self.minimum) / self.median


Costs = Mapping[tuple[int, str], Cost]


def main(argv: list[str]) -> int:
    """The verb ``bench``."""
    argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0]).parse_args(
        argv
    )
    if os.environ.get("LANE", "plain") not in ("", "plain"):
        raise UsageError("make bench measures the plain lane alone: what a debug kernel checks"
                         " costs more than what it checks")  # fmt: skip
    timing = lane.prepare("plain")
    # Whatever else works on this host: only TCG counts instructions.
    where = replace(timing, accel="tcg")
    task = prepare(where)
    say("counting instructions")
    report = measure(where, task, "instructions", counting=True)
    costs = read_costs(report)
    batches = [_cost(series) for series in report["batches"]]
    results = describe(where, report, costs)
    results["batches"] = [asdict(batch) for batch in batches]
    print("Instructions per write(2) and read(2):", table(costs), sep="\n\n")
    print("\nPer message of 64 B, when 32 are written one by one and read at once:", "", sep="\n")
    print(batch_table(batches), "", notes(results, costs), sep="\n")

    say("timing transfers between two CPUs")
    times = measure(timing, task, "throughput", counting=False)
    sizes = throughput.read(times)
    print(f"\nTime by that of the ring, two threads on two CPUs ({timing.accel}):")
    print("", throughput.table(sizes), "", throughput.latencies(times), sep="\n")
    for sentence in throughput.troubles(sizes):
        say(sentence)
    results["throughput"] = {"accel": timing.accel, **throughput.describe(times)}
    print(f"\nresults: {(kept := keep(results))}")
    record = bool(os.environ.get("RECORD"))
    lost = defeats(costs) + compare(where, costs, record=record)
    if record:
        performance.write(results, kept, toolchain.find(want={"lab-tests"}))
        say(f"written: {performance.FOLDER.relative_to(paths.ROOT)}")
    for sentence in lost:
        say(sentence)
    return Exit.TESTS_FAILED if lost else Exit.PASSED


def compare(where: Lane, costs: Costs, *, record: bool) -> list[str]:
    """Compares the costs with those on record, or records them. Returns what has risen."""
    key = instructions.built_by(where.kernel.release, where.config)
    medians = {size: {peer: costs[size, peer].median for peer in PEERS} for size in SIZES}
    if record:
        instructions.write(key, medians)
        say(f"recorded in {instructions.RECORD.relative_to(paths.ROOT)}: {key}")
        return []
    recorded = instructions.read(key)
    if recorded is None:
        say(f"nothing is on record for {key}: there is nothing to compare the ring with")
        return []
    return instructions.rises(recorded, medians)


def prepare(where: Lane) -> Task:
    """Builds what is measured and what measures, for a guest that has the peers loaded."""
    programs = cargo.guest_programs(toolchain.find(want={"guest"}), PROGRAM)
    peers = [
        module.build_external(paths.ROOT / folder, where.kernel, where.tools) / f"{name}.ko"
        for folder, names in MODULES.items()
        for name in names
    ]
    return Task(
        busybox=where.tools.tool("busybox"),
        module=where.module(kunit=False),
        other_modules=tuple(peers),
        programs=programs,
    )


def measure(where: Lane, task: Task, what: str, *, counting: bool) -> Mapping[str, Any]:
    """Runs the program in a guest, ``counting`` or with two CPUs, and returns what it reports."""
    load = [f"insmod /lib/{peer.name}" for peer in task.other_modules]
    task = replace(task, command=" && ".join([*load, f"{PROGRAM} {what}"]))
    machine = replace(where.machine(task.append()), icount=counting)
    log = logs.new("plain-bench")
    outcome = boot(machine, task, where.limits(SECONDS), log)
    judged = verdict.judge(task, outcome, signed_modules=where.signed_modules)
    if judged.code is not Exit.PASSED:
        for trouble in decode.reports(judged, where.kernel, where.tools, task, outcome.facts):
            say(trouble)
        raise NoFigures(f"{judged.sentence}; logs: {log}", judged.code)
    if outcome.facts["exit"] != "0":
        said = outcome.outputs[Port.STDERR].strip() or f"exit code {outcome.facts['exit']}"
        raise NoFigures(f"there are no figures: {said}; logs: {log}")
    try:
        report: Mapping[str, Any] = json.loads(outcome.outputs[Port.STDOUT])
    except ValueError as error:
        raise NoFigures(f"the report of {PROGRAM} is no JSON ({error}); logs: {log}") from error
    return report


def read_costs(report: Mapping[str, Any]) -> Costs:
    """Works out what a pair costs. Refuses a report that cannot bear the figures."""
    costs: dict[tuple[int, str], Cost] = {}
    for series in report["series"]:
        cost = _cost(series)
        costs[cost.size, cost.peer] = cost
    if missing := [(size, peer) for size in SIZES for peer in PEERS if (size, peer) not in costs]:
        raise NoFigures(f"the report lacks {missing}")
    return costs


def _cost(series: Mapping[str, Any]) -> Cost:
    size, peer, pairs = int(series["size"]), str(series["peer"]), int(series["pairs"])
    every = tuple((total - series["overhead"]) / pairs for total in series["instructions"])
    pieces = zip(every, series["interrupts"], strict=True)
    quiet = [cost for cost, interrupts in pieces if interrupts == 0]
    if len(quiet) < QUIET_MIN:
        raise NoFigures(
            f"interrupts fell into all but {len(quiet)} of {len(every)} repetitions of {peer} at"
            f" {size} bytes"
        )
    cost = Cost(size, peer, pairs, min(quiet), median(quiet), max(quiet), len(quiet), every)
    if cost.spread > SPREAD_MAX:
        raise NoFigures(
            f"the repetitions of {peer} at {size} bytes differ by {cost.spread:.1%}: from"
            f" {cost.minimum:.1f} to {cost.maximum:.1f} instructions"
        )
    return cost


def interrupted(costs: Costs) -> float:
    """Returns the share of the instructions that interrupts took."""
    executed = sum(sum(cost.all) * cost.pairs for cost in costs.values())
    wanted = sum(cost.median * len(cost.all) * cost.pairs for cost in costs.values())
    return 1 - wanted / executed


def defeats(costs: Costs) -> list[str]:
    """Returns a sentence for each size and rival where the ring does not need fewer."""
    return [
        f"at {units.size(size)} the ring needs {costs[size, 'ring'].median:.0f} instructions, not"
        f" fewer than the {costs[size, rival].median:.0f} of {rival}"
        for size in SIZES
        for rival in RIVALS
        if costs[size, "ring"].median >= costs[size, rival].median
    ]


def describe(where: Lane, report: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """Returns the results as they are kept."""
    return {
        "schema": SCHEMA,
        "kernel": where.kernel.release,
        "rustc": where.config.get("CONFIG_RUSTC_VERSION_TEXT", "").strip('"'),
        "revision": _revision(),
        "source": source_hash(paths.ROOT),
        "qemu": _first_line([str(where.tools.tool("qemu")), "--version"]),
        "cpu": TCG_CPU,
        "clocksource": report["clocksource"],
        "calibration": report["calibration"],
        "mitigations": {
            fault: state
            for fault, state in report["vulnerabilities"].items()
            if state.startswith("Mitigation")
        },
        "capacity": report["holds"],
        "interrupted": interrupted(costs),
        "costs": [asdict(costs[size, peer]) for size in SIZES for peer in PEERS],
        "ring_wins": not defeats(costs),
    }


def keep(results: Mapping[str, Any]) -> Path:
    """Writes the results and returns where."""
    folder = paths.cache() / "bench"
    folder.mkdir(exist_ok=True)
    path = folder / f"{results['revision'] or results['source'][:12]}-{results['kernel']}.json"
    # Written beside it and renamed, so that two runs at once leave one of them whole.
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(results, indent=1) + "\n")
    return part.rename(path)


def table(costs: Costs) -> str:
    """Returns the figures, aligned: a row for each size."""
    others = (*RIVALS, "twin")
    rows = [("size", *PEERS, *(f"ring/{other}" for other in others), "ring-floor")]
    for size in SIZES:
        medians = {peer: costs[size, peer].median for peer in PEERS}
        figures = [f"{medians[peer]:,.0f}" for peer in PEERS]
        ratios = [f"{medians['ring'] / medians[other]:.3f}" for other in others]
        above = f"{medians['ring'] - medians['floor']:.0f}"
        rows.append((units.size(size), *figures, *ratios, above))
    return aligned(rows)


def batch_table(batches: Sequence[Cost]) -> str:
    """Returns what a message costs that is read in a batch, aligned: a row for each peer."""
    rows = [("through", "instructions")]
    rows += [(batch.peer, f"{batch.median:,.0f}") for batch in batches]
    return aligned(rows)


def notes(results: Mapping[str, Any], costs: Costs) -> str:
    """Returns what one has to know to read the figures."""
    counted, passed = (results["calibration"][key] for key in ("instructions", "nanoseconds"))
    share = results["interrupted"]
    holds = results["capacity"].items()
    capacity = ", ".join(f"{peer} {units.size(held)}" for peer, held in holds)
    mitigations = ", ".join(f"{name} ({state})" for name, state in results["mitigations"].items())
    repetitions = sum(len(cost.all) for cost in costs.values())
    disturbed = repetitions - sum(cost.quiet for cost in costs.values())
    spread = max(cost.spread for cost in costs.values())
    sentences = (
        f"Linux {results['kernel']}, plain lane, one CPU. Mitigations: {mitigations or 'none'}.",
        f"The kernel's Rust and the module by {results['rustc']}.",
        f"Capacity: {capacity}.",
        "twin: the same driver in C.",
        "floor: a device that copies to and from one buffer, and nothing else. null: /dev/null.",
        f"A copy counts one instruction for 8 bytes (-cpu {results['cpu']}).",
        f"Medians of what no interrupt fell into; minimum and maximum differ by {spread:.3%}.",
        f"Left out: {disturbed} of {repetitions} repetitions; interrupts took {share:.2%}.",
        f"Clock: {counted} instructions took {passed} ns of {results['clocksource']}.",
    )
    return "\n".join(textwrap.fill(sentence, WIDTH) for sentence in sentences)


def source_hash(root: Path) -> str:
    """Returns one hash of all that the module is built from."""
    digest = hashlib.sha256()
    for name in module.SOURCES:
        top = root / name
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file() and not PRODUCT.fullmatch(file.name):
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


def _revision() -> str | None:
    described = _first_line(["git", "-C", str(paths.ROOT), "describe", "--always", "--dirty"])
    return described or None


def _first_line(command: Sequence[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.partition("\n")[0] if run.returncode == 0 else ""
