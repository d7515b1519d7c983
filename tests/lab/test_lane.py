# SPDX-License-Identifier: GPL-2.0
"""What a lane says of itself to the tests that run in it."""

import os
from pathlib import Path

import pytest

from lab.kernel import Kernel
from lab.lane import Lane
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
