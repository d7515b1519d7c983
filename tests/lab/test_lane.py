# SPDX-License-Identifier: GPL-2.0
"""What a lane says of itself to the tests that run in it."""

import os
from pathlib import Path

import pytest

from lab import accel, kernel, lane, paths, source, toolchain
from lab.errors import HostNotFit
from lab.kernel import Kernel
from lab.lane import Lane
from lab.test import NARROW
from lab.toolchain import Toolchain


@pytest.mark.parametrize(
    ("name", "accel", "cpus", "turns"),
    [
        ("plain", "tcg", 2, False),
        ("plain", "kvm", 2, False),
        # One thread of QEMU's has all CPUs of the guest, but under KVM each has its own.
        ("stock", "tcg", 2, True),
        ("stock", "kvm", 2, False),
        ("plain", "tcg", 1, True),
        ("plain", "kvm", 1, True),
    ],
)
def test_cpus_take_turns_where_one_thread_or_one_cpu_has_them(
    monkeypatch: pytest.MonkeyPatch, name: str, accel: str, cpus: int, *, turns: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    kernel = Kernel(name, Path("/src"), Path("/build"), "7.3.4-lab", "key")
    assert Lane(name, Toolchain(tools={}), kernel, {}, accel).cpus_take_turns is turns


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Has kernels that are there, and returns the lanes whose kernels were asked for."""
    asked: list[str] = []
    tree = Kernel("any", tmp_path, tmp_path, "7.3.4-lab", "key")

    def ensure(name: str, _tools: Toolchain) -> Kernel:
        asked.append(name)
        return tree

    monkeypatch.setattr(toolchain, "find", lambda **_: Toolchain(tools={"qemu": Path("/qemu")}))
    monkeypatch.setattr(kernel, "ensure", ensure)
    monkeypatch.setattr(accel, "choose", lambda *_: "tcg")
    (tmp_path / ".config").write_text("".join(f"{symbol}=y\n" for symbol in lane.NEEDED))
    return asked


def test_the_fuzz_lane_boots_the_debug_kernel(built: list[str], tmp_path: Path) -> None:
    with (tmp_path / ".config").open("a") as config:
        config.write("CONFIG_KCOV=y\n")
    assert lane.prepare("fuzz").traits.coverage
    assert built == ["debug"]
    assert not lane.prepare("debug").traits.coverage


def test_a_kernel_without_kcov_does_not_do_for_the_fuzz_lane(built: list[str]) -> None:
    with pytest.raises(HostNotFit, match="CONFIG_KCOV"):
        lane.prepare("fuzz")
    assert built == ["debug"]
    lane.prepare("debug")


def lane_of(name: str, config: dict[str, str], *, from_user: bool = False) -> Lane:
    tree = Kernel(name, Path("/src"), Path("/build"), "7.3.4-lab", "key", from_user=from_user)
    return Lane(name, Toolchain(tools={}), tree, config, "tcg")


def test_an_aid_must_be_at_work_where_the_lab_has_configured_it() -> None:
    config = {"CONFIG_KASAN": "y", "CONFIG_PROVE_LOCKING": "n", "CONFIG_FAILSLAB": "y"}
    assert lane_of("debug", config).aids == {"kasan", "failslab"}
    assert lane_of("debug", config, from_user=True).aids == frozenset()


def test_the_debug_lane_has_all_aids() -> None:
    fragments = [paths.ROOT / f"scripts/lanes/{name}.config" for name in ("base", "debug")]
    config = {
        symbol: value
        for fragment in fragments
        for symbol, value in kernel.read_config(fragment).items()
    }
    assert lane_of("debug", config).aids == set(lane.AIDS.values())


def test_the_guest_names_each_aid() -> None:
    script = (paths.ROOT / "scripts/lab/guest/lib.sh").read_text()
    assert {aid for aid in lane.AIDS.values() if f'aids="$aids {aid}"' not in script} == set()


def configured(name: str, version: str) -> dict[str, str]:
    """Returns what a lane's kernel is configured with."""
    return kernel.wanted(kernel.lane_fragment(name, version))


LANES = pytest.mark.parametrize("name", kernel.FRAGMENTS)
SERIES = pytest.mark.parametrize("version", [series.version for series in source.SERIES.values()])


@SERIES
@LANES
def test_each_lane_has_what_no_guest_and_no_program_can_do_without(name: str, version: str) -> None:
    config = configured(name, version)
    # Programs of both widths run there.
    for symbol in (*lane.NEEDED, "CONFIG_64BIT", *NARROW.symbols, "CONFIG_KUNIT", "CONFIG_RUST"):
        assert config.get(symbol) == "y", symbol
    # The guest's init reads the taint in /proc/sys. Who is asked for it differs by the series.
    assert "n" not in {
        config.get(symbol, "y") for symbol in ("CONFIG_SYSCTL", "CONFIG_PROC_SYSCTL")
    }
    assert config.get("CONFIG_SMP") == ("n" if name == "up" else "y")


@SERIES
@LANES
def test_what_a_lane_has_to_find_trouble_with_is_also_turned_on(name: str, version: str) -> None:
    config = configured(name, version)
    switches = {
        "CONFIG_FAULT_INJECTION": "CONFIG_FAULT_INJECTION_DEBUG_FS",
        "CONFIG_HARDENED_USERCOPY": "CONFIG_HARDENED_USERCOPY_DEFAULT_ON",
        "CONFIG_KASAN": "CONFIG_KASAN_VMALLOC",
        "CONFIG_PAGE_TABLE_CHECK": "CONFIG_PAGE_TABLE_CHECK_ENFORCED",
        "CONFIG_PROVE_LOCKING": "CONFIG_DEBUG_ATOMIC_SLEEP",
    }
    for symbol, switch in switches.items():
        assert config.get(switch) == config.get(symbol), switch


@LANES
def test_a_hang_in_any_lane_is_reported(name: str) -> None:
    assert configured(name, "7.3.4").get("CONFIG_DETECT_HUNG_TASK") == "y"


def test_helpers_are_inlined_in_the_lane_that_is_for_that() -> None:
    symbol = "CONFIG_RUST_INLINE_HELPERS"
    having = [name for name in kernel.FRAGMENTS if configured(name, "7.3.4").get(symbol) == "y"]
    assert having == ["inline"]


@pytest.mark.parametrize(("value", "signed"), [("y", True), ("n", False), (None, False)])
def test_a_kernel_marks_itself_only_if_it_knows_signatures(value: str | None, signed: bool) -> None:
    config = {} if value is None else {"CONFIG_MODULE_SIG": value}
    assert lane_of("plain", config).signed_modules is signed
