# SPDX-License-Identifier: GPL-2.0
"""``make bench``: what it costs to hand bytes from a write(2) to a read(2).

Through the ring, and beside it through what else there is: pipes, a FIFO, AF_UNIX sockets, a POSIX
message queue, a driver in C around a kfifo, and the same driver in C. tests/bench does the
measuring, in guests of the plain lane.

One guest counts instructions: it has one CPU, and its clock advances by a nanosecond with each
instruction, so the figures are the same on every machine and at every load (costs.py). The ring has
to need fewer than its rivals at every size. Nor may it need more than two per cent more than
tests/bench/instructions.json has for this kernel and these compilers (RECORD=1 writes it).

GATE=1 ends here. Else times are compared in another guest, with two CPUs (ratio.py). They depend on
the machine, and decide nothing; nor does a target that is missed (targets.py).

The results are kept as JSON in the folder ``bench`` of the cache, in a file for each revision
and kernel:

    schema         2, until a member changes its meaning or goes
    kernel         its release
    rustc          what compiled that kernel, and the module
    revision       git describe of this tree; null where that does not work
    source         SHA-256 of the module's sources
    qemu, cpu      its version, and the CPU it was told to emulate
    accel          what emulated the guest with two CPUs
    clocksource    the guest's clock ...
    calibration    ... and what it made of a loop of known length: instructions, nanoseconds
    mitigations    those that the guest's kernel has on, by the fault that they are for
    capacity       bytes that each peer held when it was filled in pieces of 4 KiB
    interrupted    the share of the instructions that interrupts took, which no figure contains
    pairs          a write and a read of a message: a list of costs, for each size and peer
    batches        messages that are read 32 at once, by message; "records" is a ring with records,
                   whose reader gets their headers
    broadcast      messages to several readers: what the writer needs, or all readers together
    overwrite      writes over the oldest, in a ring whose reader stands still
    ring_wins      whether the ring needs the least of the rivals for a pair of every size
    memory         bytes that the kernel takes for a peer, idle and full
    modules        the driver and its twin: bytes that are loaded, seconds to compile
    throughput     how the times of transfers compare (throughput.py)
    latency        how those of round trips do (latency.py)
    switches       with SWITCHES=1 or RECORD=1: the ring without each decision of its design
                   (switches.py)

A cost has: peer, way (how its calls are made), size (in bytes), readers, operations (in a
repetition), minimum, median and maximum (instructions by operation, over the repetitions that no
interrupt fell into), quiet (the number of these), all (of each repetition, in their order).

Three peers are no rivals. "twin" is the same driver in C, by the same design (tests/peers/twin):
the ring to it is Rust to C. "floor" is a device of tests/peers that copies to and from one buffer,
and does nothing else: what a device costs more than that is its own. "null" is write(2) to and
read(2) from /dev/null, two system calls through the VFS that copy nothing.
"""

import argparse
import json
import os
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lab import (
    cargo,
    costs,
    decode,
    instructions,
    lane,
    latency,
    logs,
    module,
    paths,
    performance,
    switches,
    throughput,
    toolchain,
    units,
    variables,
    verdict,
)
from lab.boot import boot
from lab.costs import Costs, NoFigures
from lab.errors import Exit, HostNotFit, UsageError
from lab.lane import Lane
from lab.qemu import TCG_CPU, Port
from lab.report import aligned, say
from lab.tables import TABLES
from lab.task import Task

SCHEMA = 2
WIDTH = 90
# Modules, by their folder.
MODULES = {
    paths.ROOT / "tests/peers": ("ringdev_floor", "ringdev_kfifo"),
    module.TWIN: ("ringdev_twin",),
}
PROGRAM = "ringdev-bench"
# The tables that GATE=1 shows, of all that it has counted.
GATED = ("instructions", "compared")
# A guest whose host is busy takes several times as long.
SECONDS = 900.0


def main(argv: list[str]) -> int:
    """The verb ``bench``."""
    argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0]).parse_args(
        argv
    )
    if os.environ.get("LANE", "plain") not in ("", "plain"):
        raise UsageError("make bench measures the plain lane alone: what a debug kernel checks"
                         " costs more than what it checks")  # fmt: skip
    record = variables.is_on("RECORD")
    gate_alone = variables.is_on("GATE")
    if gate_alone and (record or variables.is_on("SWITCHES")):
        raise UsageError(
            "GATE=1 counts what is gated, and nothing else: no RECORD=1, no SWITCHES=1"
        )
    timing = lane.prepare("plain")
    # Whatever else works on this host: only TCG counts instructions.
    where = replace(timing, accel="tcg")
    task = prepare(where)
    say("counting instructions")
    report = measure(where, task, "instructions", counting=True)
    counted = costs.read(report)
    results = describe(where, report, counted)
    if gate_alone:
        show(results, GATED)
        return judge(where, counted, record=False)
    say("comparing times on two CPUs")
    times = measure(timing, task, "times", counting=False)
    say("compiling the driver and its twin, from nothing")
    results |= {
        "modules": modules(where, task),
        "accel": timing.accel,
        "throughput": throughput.describe(times),
        "latency": latency.describe(times),
    }
    if record or variables.is_on("SWITCHES"):
        results["switches"] = without(timing, task)
    show(results, TABLES)
    print(notes(results, counted))
    for sentence in throughput.troubles(results["throughput"]):
        say(sentence)
    for sentence in latency.troubles(results["latency"]):
        say(sentence)
    print(f"\nresults: {(kept := keep(results))}")
    code = judge(where, counted, record=record)
    if record:
        performance.write(results, kept, toolchain.find(want={"lab-tests"}))
        say(f"written: {performance.FOLDER.relative_to(paths.ROOT)}")
    return code


def show(results: Mapping[str, Any], names: Iterable[str]) -> None:
    """Prints tables of the results, but for those that have nothing in them."""
    for title, rows in (TABLES[name] for name in names):
        if shown := rows(results):
            print(f"{title}:", "", aligned(shown), "", sep="\n")


def judge(where: Lane, counted: Costs, *, record: bool) -> int:
    """Says where the ring needs too much, and returns the exit code."""
    lost = costs.defeats(counted) + compare(where, counted, record=record)
    for sentence in lost:
        say(sentence)
    return Exit.TESTS_FAILED if lost else Exit.PASSED


def compare(where: Lane, counted: Costs, *, record: bool) -> list[str]:
    """Compares the costs with those on record, or records them. Returns what has risen."""
    key = instructions.built_by(where.kernel.release, where.config)
    medians = costs.rows(counted)
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
        module.build_external(folder, where.kernel, where.tools) / f"{name}.ko"
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
    judged = verdict.judge(where, task, outcome)
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


def without(timing: Lane, task: Task) -> list[dict[str, Any]]:
    """Measures the ring without each decision of its design, and with C inlined into Rust."""
    found = []
    for switch in switches.read():
        say(f"measuring the ring with {switch.title}")
        built = module.build_patched(switch.patch, timing.kernel, timing.tools) / "ringdev.ko"
        found.append(_variant(timing, replace(task, module=built), switch.title))
    try:
        inline = lane.prepare("inline")
    except HostNotFit as error:
        say(f"not measured with the kernel's helpers inlined: {error}")
        return found
    title = "CONFIG_RUST_INLINE_HELPERS"
    say(f"measuring the ring with {title}")
    return [*found, _variant(inline, prepare(inline), title)]


def _variant(timing: Lane, task: Task, title: str) -> dict[str, Any]:
    counting = replace(timing, accel="tcg")
    names = " ".join(switches.COUNTED)
    report = measure(counting, task, f"instructions {names}", counting=True)
    times = measure(timing, task, f"times {' '.join(switches.TIMED)}", counting=False)
    return switches.describe(title, report, times)


def modules(where: Lane, task: Task) -> dict[str, dict[str, float]]:
    """Returns how large the driver and its twin are, and how long they take to compile."""
    twin = next(path for path in task.other_modules if path.stem == "ringdev_twin")
    assert task.module
    return {
        "ring": {
            "text": module.text_size(task.module, where.tools),
            "seconds": module.seconds(where.kernel, where.tools),
        },
        "twin": {
            "text": module.text_size(twin, where.tools),
            "seconds": module.seconds_external(module.TWIN, where.kernel, where.tools),
        },
    }


def describe(where: Lane, report: Mapping[str, Any], counted: Costs) -> dict[str, Any]:
    """Returns the results as they are kept."""
    return {
        "schema": SCHEMA,
        "kernel": where.kernel.release,
        "rustc": where.config.get("CONFIG_RUSTC_VERSION_TEXT", "").strip('"'),
        "revision": toolchain.revision(paths.ROOT) or None,
        "source": module.source_hash(paths.ROOT),
        "qemu": toolchain.first_line([str(where.tools.tool("qemu")), "--version"]),
        "cpu": TCG_CPU,
        "clocksource": report["clocksource"],
        "calibration": report["calibration"],
        "mitigations": {
            fault: state
            for fault, state in report["vulnerabilities"].items()
            if state.startswith("Mitigation")
        },
        "capacity": report["holds"],
        "interrupted": costs.interrupted(costs.flat(counted)),
        **{section: [asdict(cost) for cost in each] for section, each in counted.items()},
        "ring_wins": not costs.defeats(counted),
        "memory": report["memory"],
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


def notes(results: Mapping[str, Any], counted: Costs) -> str:
    """Returns what one has to know to read the figures."""
    loop, passed = (results["calibration"][key] for key in ("instructions", "nanoseconds"))
    share = results["interrupted"]
    holds = results["capacity"].items()
    capacity = ", ".join(f"{peer} {units.size(held)}" for peer, held in holds)
    mitigations = ", ".join(f"{name} ({state})" for name, state in results["mitigations"].items())
    every = costs.flat(counted)
    repetitions = sum(len(cost.all) for cost in every)
    disturbed = repetitions - sum(cost.quiet for cost in every)
    spread = max(cost.spread for cost in every)
    sentences = (
        f"Linux {results['kernel']}, plain lane, one CPU. Mitigations: {mitigations or 'none'}.",
        f"The kernel's Rust and the module by {results['rustc']}.",
        f"Capacity: {capacity}.",
        "twin: the same driver in C.",
        "floor: a device that copies to and from one buffer, and nothing else. null: /dev/null.",
        f"A copy counts one instruction for 8 bytes (-cpu {results['cpu']}).",
        f"Medians of what no interrupt fell into; minimum and maximum differ by {spread:.3%}.",
        f"Left out: {disturbed} of {repetitions} repetitions; interrupts took {share:.2%}.",
        f"Clock: {loop} instructions took {passed} ns of {results['clocksource']}.",
    )
    return "\n".join(textwrap.fill(sentence, WIDTH) for sentence in sentences)
