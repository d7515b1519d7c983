# SPDX-License-Identifier: GPL-2.0
"""What the compiler has made of the module: a missing barrier or check is seen."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import compiled, paths
from lab.compiled import ORDERINGS, Call, Use
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.toolchain import Toolchain

TOOLS = Toolchain(tools={})

RELOCATIONS = """
Relocation section '.rela.text' at offset 0x1000 contains 3 entries:
    Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
0000000000000b33  000004d200000004 R_X86_64_PLT32         0000000000000000 rust_helper_smp_rmb - 4
0000000000000f00  000004d300000004 R_X86_64_PC32          0000000000000010 .rodata + 4

Relocation section '.rela.init.text' at offset 0x2000 contains 1 entry:
    Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
0000000000000b40  000004d200000004 R_X86_64_PLT32         0000000000000000 rust_helper_smp_mb - 4
"""

FRAMES = """\
0x0000000000000b32
_RNvCs1_run
/linux/rust/kernel/sync/barrier.rs:64
_RNvCs1_full_barrier
/in/src/platform.rs:60 (discriminator 2)
_RNvCs1_wake_writers
/in/src/ring/waking.rs:103
0x0000000000000f27
_RNvCs1_other
??:0
"""


def test_the_relocations_of_one_section_are_read() -> None:
    found = compiled.relocations_of(".text", RELOCATIONS)
    assert found[0] == (0xB33, "rust_helper_smp_rmb")
    assert "rust_helper_smp_mb" not in [symbol for _, symbol in found]


def test_the_places_that_were_inlined_are_read() -> None:
    first, second = compiled.frames_of(FRAMES)
    assert first == (
        ("/linux/rust/kernel/sync/barrier.rs", 64),
        ("/in/src/platform.rs", 60),
        ("/in/src/ring/waking.rs", 103),
    )
    assert second == (("??", 0),)


def test_each_site_of_the_list_is_known_and_used() -> None:
    sites = compiled.sites()
    assert {"HeadRelease", "PublishedThenWaiters", "HeadThenTail"} < set(sites)
    uses = compiled.uses(compiled.SOURCES)
    assert {use.site for use in uses} == set(sites)
    for use in uses:
        line = (paths.ROOT / use.file).read_text().splitlines()[use.line - 1]
        assert f"{use.ordering}(" in line


def test_each_ordering_is_a_function_of_the_platform() -> None:
    platform = (compiled.SOURCES / "platform.rs").read_text()
    for ordering in ORDERINGS:
        assert f"pub(crate) fn {ordering}(" in platform
    # All that take a site are looked for.
    assert platform.count("_site: Site") == len(ORDERINGS)


def test_a_use_is_the_line_of_the_call(tmp_path: Path) -> None:
    file = tmp_path / "src/ring/a.rs"
    file.parent.mkdir(parents=True)
    file.write_text(
        "// At [`Site::B`].\nfn f() {\n    self.tail.store_release(\n        at(1),\n"
        "        Site::A,\n    );\n    let a = b;\n    full_barrier(Site::B);\n}\n"
    )
    assert compiled.uses(tmp_path / "src") == [
        Use("A", "store_release", "src/ring/a.rs", 3),
        Use("B", "full_barrier", "src/ring/a.rs", 8),
    ]


USE = Use("A", "full_barrier", "src/ring/waking.rs", 103)
FOUND = Call(
    ORDERINGS["full_barrier"], (("/in/src/platform.rs", 60), ("/in/src/ring/waking.rs", 103))
)


def test_a_site_that_was_compiled_is_not_missing() -> None:
    assert compiled.missing([USE], [FOUND]) == []


@pytest.mark.parametrize(
    "found",
    [
        [],
        [Call(ORDERINGS["full_barrier"], (("/in/src/ring/waking.rs", 66),))],
        [Call(ORDERINGS["full_barrier"], (("/in/src/ring/asleep_waking.rs", 103),))],
        [Call(ORDERINGS["write_barrier"], FOUND.frames)],
    ],
    ids=["no call", "another line", "another file", "a weaker one"],
)
def test_a_site_that_was_not_compiled_is_missing(found: Sequence[Call]) -> None:
    assert compiled.missing([USE], found) == [
        "src/ring/waking.rs:103: full_barrier() is not compiled to rust_helper_smp_mb()"
    ]


def test_each_use_of_a_site_has_to_be_there() -> None:
    other = Use("A", "full_barrier", "src/ring/waking.rs", 66)
    assert len(compiled.missing([USE, other], [FOUND])) == 1


def test_a_site_that_nobody_uses_is_missing() -> None:
    assert compiled.missing([], [FOUND]) == ["the site is in the list, and used nowhere"]


# The whole, with tools that say what a module would have them say.


def everything() -> list[Call]:
    """Returns the calls that a module has in which nothing is missing."""
    return [
        Call(ORDERINGS[use.ordering], ((f"/in/{use.file}", use.line),))
        for use in compiled.uses(compiled.SOURCES)
    ]


def run(
    monkeypatch: pytest.MonkeyPatch,
    found: Sequence[Call],
    *,
    lane: str = "plain",
    code: str = "lock\naddl $0x0, -0x4(%rsp)\nretq",
    only: str = "",
    config: str = "n",
) -> dict[str, Result]:
    """Runs the tests on a module with these calls."""
    monkeypatch.setattr(compiled, "calls", lambda *_: found)
    monkeypatch.setattr(compiled, "disassembly", lambda *_: code)
    where = SimpleNamespace(
        name=lane,
        tools=TOOLS,
        config={"CONFIG_RUST_INLINE_HELPERS": config},
        kernel=SimpleNamespace(vmlinux=Path("/vmlinux")),
        module=lambda **_: Path("/ringdev.ko"),
    )
    return {result.name: result for result in compiled.tests(cast("Lane", where), only)}


def failed(results: dict[str, Result]) -> list[str]:
    """Returns the names of those that have failed."""
    return [name for name, result in results.items() if result.status is Status.FAILED]


def test_a_module_with_all_of_its_sites_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    results = run(monkeypatch, everything())
    assert failed(results) == []
    assert len(results) == len(compiled.sites()) + 1


def test_a_platform_without_full_barriers_fails_at_each_of_its_sites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weak = [call for call in everything() if call.function != ORDERINGS["full_barrier"]]
    assert failed(run(monkeypatch, weak)) == [
        "published_then_waiters_is_in_the_module",
        "released_then_waiters_is_in_the_module",
        "tail_then_head_is_in_the_module",
        "head_then_tail_is_in_the_module",
    ]


def test_a_full_barrier_that_is_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    results = run(monkeypatch, everything(), code="retq")
    assert failed(results) == ["full_barrier_is_an_instruction"]
    assert failed(run(monkeypatch, everything(), code="")) == ["full_barrier_is_an_instruction"]
    assert failed(run(monkeypatch, everything(), code="mfence\nretq")) == []


def test_a_debug_module_that_is_not_instrumented_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(compiled.CHECKS)
    both = [Call("f", (("/in/src/ring/a.rs", 1),)), Call("f", (("/in/src/channel/mod.rs", 1),))]
    assert failed(run(monkeypatch, both, lane="debug")) == []
    assert failed(run(monkeypatch, [], lane="debug")) == names
    assert failed(run(monkeypatch, both[:1], lane="debug")) == names


def test_they_can_be_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(run(monkeypatch, [], only="head_release")) == ["head_release_is_in_the_module"]
    assert run(monkeypatch, [], only="no such test") == {}
    assert run(monkeypatch, [], lane="rt") == {}


def test_a_kernel_whose_functions_are_inlined_is_passed_over_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = run(monkeypatch, [], config="y")
    assert {result.status for result in results.values()} == {Status.SKIPPED}
    assert all(result.reason for result in results.values())


def test_a_program_of_this_machine_is_taken_apart(tmp_path: Path) -> None:
    """Shows that the options are those that the tools have, as far as there is a compiler."""
    source = tmp_path / "a.c"
    source.write_text(
        "void rust_helper_smp_mb(void);\n"
        "static inline __attribute__((always_inline)) void full_barrier(void)\n"
        "{\n\trust_helper_smp_mb();\n}\n"
        'void user(void)\n{\n\tfull_barrier();\n\tasm volatile ("mfence");\n}\n'
    )
    object_file = tmp_path / "a.o"
    flags = ("-g", "-O2", "-fPIC", "-fno-optimize-sibling-calls", "-c")
    subprocess.run(["cc", *flags, "-o", str(object_file), str(source)], check=True)
    [call] = compiled.calls(object_file, re.compile("rust_helper_smp_mb"), TOOLS)
    assert call.function == "rust_helper_smp_mb"
    assert [(Path(file).name, line) for file, line in call.frames] == [("a.c", 4), ("a.c", 8)]
    assert "mfence" in compiled.disassembly("user", object_file, TOOLS)
    assert compiled.disassembly("nobody", object_file, TOOLS) == ""
