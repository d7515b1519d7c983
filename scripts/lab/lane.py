# SPDX-License-Identifier: GPL-2.0
"""What it takes to boot a lane: tools, kernel, accelerator, and how long all may take."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import accel, debian, kernel, module, stock, toolchain
from lab.boot import Limits
from lab.errors import HostNotFit, UsageError
from lab.kernel import Kernel
from lab.qemu import Machine
from lab.toolchain import Toolchain


@dataclass(frozen=True)
class Traits:
    """What is a lane's own, beside its kernel. Times are seconds under TCG on a slow host."""

    memory_mib: int = 1024
    # How long the lab itself may take to boot, to load, and to unload.
    patience: float = 120.0
    # How long all user tests together may take. Each has a deadline of its own, kept by the
    # program; this is for the guest in which not even that works.
    tests: float = 900.0
    # What the kernel is told.
    words: tuple[str, ...] = ()
    # QEMU's threads that emulate CPUs: one for each, or one for all.
    threads: str = "multi"
    # What the user tests expect of the kernel, and how much they do.
    profile: str = "plain"
    # The lane whose kernel is booted, if this one has no configuration of its own.
    kernel: str = ""
    # Build the module with coverage instrumentation (KCOV).
    coverage: bool = False


TRAITS = {
    "plain": Traits(),
    # Slabs with checks do without per-CPU sheaves, in which a pointer to an object stays for a
    # while after the object was allocated: kmemleak finds it there, and says nothing of a leak.
    "debug": Traits(2048, 480.0, 2400.0, words=("slab_debug=F",), profile="debug"),
    "up": Traits(),
    "rt": Traits(2048, 300.0, 1800.0, profile="slow"),
    "newest": Traits(),
    # QEMU 7.2 lets one of a dozen guests with a distribution's kernel die ("Oops: int3") while that
    # patches itself at boot and two threads emulate its CPUs. With one thread none has died.
    "stock": Traits(2048, 300.0, 1800.0, threads="single", profile="slow"),
    "inline": Traits(),
    "fuzz": Traits(
        2048, 480.0, words=("slab_debug=F",), profile="debug", kernel="debug", coverage=True
    ),
}
# Those that tests run in, and those that they run in if one asks for it.
NAMES = ("plain", "debug")
ON_REQUEST = ("up", "rt", "newest", "stock")
ALL = (*NAMES, *ON_REQUEST)
KVM_FRACTION = 0.5
# For a guest in which KASAN has to speak: KFENCE now and then takes an object out of its sight, to
# look at it itself.
NO_KFENCE = "kfence.sample_interval=0"
# What finds trouble in a kernel and can be turned off while it runs, as the guest's init names it.
AIDS = {
    "CONFIG_KASAN": "kasan",
    "CONFIG_PROVE_LOCKING": "lockdep",
    "CONFIG_DEBUG_KMEMLEAK": "kmemleak",
    "CONFIG_FAILSLAB": "failslab",
    "CONFIG_DETECT_HUNG_TASK": "hung_task",
    "CONFIG_SOFTLOCKUP_DETECTOR": "soft_watchdog",
}
# What a kernel of the user's own may lack, and no guest can do without.
NEEDED = ("CONFIG_BLK_DEV_INITRD", "CONFIG_SERIAL_8250_CONSOLE", "CONFIG_VIRTIO_CONSOLE",
          "CONFIG_VIRTIO_PCI", "CONFIG_DEVTMPFS", "CONFIG_CGROUPS", "CONFIG_TMPFS")  # fmt: skip


@dataclass(frozen=True)
class Lane:
    """A lane that can be booted."""

    name: str
    tools: Toolchain
    kernel: Kernel
    config: Mapping[str, str]
    accel: str

    @property
    def traits(self) -> Traits:
        """What is this lane's own."""
        return TRAITS[self.name]

    @property
    def cpus_take_turns(self) -> bool:
        """Tells whether never two of a guest's CPUs run at once."""
        one_thread = self.accel == "tcg" and self.traits.threads == "single"
        return one_thread or len(os.sched_getaffinity(0)) == 1

    @property
    def signed_modules(self) -> bool:
        """Tells whether the kernel marks itself for a module without a signature, as ours is."""
        return self.config.get("CONFIG_MODULE_SIG") == "y"

    @property
    def aids(self) -> frozenset[str]:
        """The aids that must be at work in a guest: those that the lab has configured."""
        if self.kernel.from_user:
            return frozenset()
        return frozenset(aid for symbol, aid in AIDS.items() if self.config.get(symbol) == "y")

    def module(self, *, kunit: bool) -> Path:
        """Builds the module for this lane and returns the file."""
        coverage = self.traits.coverage
        return module.build(self.kernel, self.tools, kunit=kunit, coverage=coverage) / "ringdev.ko"

    def machine(self, append: tuple[str, ...] = (), arguments: tuple[str, ...] = ()) -> Machine:
        """Returns the machine that this lane's guests run on."""
        return Machine(
            qemu=self.tools.tool("qemu"),
            accel=self.accel,
            image=self.kernel.image,
            memory_mib=self.traits.memory_mib,
            append=(*self.traits.words, *append),
            arguments=arguments,
            threads=self.traits.threads,
        )

    def limits(self, command: float | None) -> Limits:
        """Returns how long the phases of a guest may take; the command's time is as given."""
        patience = self.scaled(self.traits.patience)
        return Limits(boot=patience, load=patience, command=command, unload=patience)

    def scaled(self, seconds: float) -> float:
        """Returns what these seconds under TCG are with this lane's accelerator."""
        return seconds * (KVM_FRACTION if self.accel == "kvm" else 1)


def chosen(wanted: str, usual: Sequence[str], allowed: Sequence[str]) -> Sequence[str]:
    """Returns the lane that LANE= asks for, which has to be allowed, or else the usual ones."""
    if not wanted:
        return usual
    if wanted not in allowed:
        raise UsageError(f"LANE={wanted}: there are {', '.join(allowed)}")
    return [wanted]


def prepare(name: str, want: Collection[str] = ()) -> Lane:
    """Gets the tools and the kernel of a lane, and finds out how to emulate it."""
    if name == "stock":
        tools = toolchain.find(want={"root", "boot", *want})
        built = stock.ensure(tools)
    elif name == "newest":
        tools = toolchain.find(want={"root", "boot", *want})
        packages = (*debian.TOOLS, *debian.CLANG)
        built = kernel.ensure(name, tools, debian.root(tools, packages, (debian.NEWEST,)))
    else:
        of = TRAITS[name].kernel or name
        tools = toolchain.find(lane=of, want={"kernel", "boot", *want})
        built = kernel.ensure(of, tools)
    config = kernel.read_config(built.build / ".config")
    if TRAITS[name].coverage and config.get("CONFIG_KCOV") != "y":
        raise HostNotFit(f"the {name} lane needs CONFIG_KCOV=y, which {built.build} lacks")
    for symbol in NEEDED:
        if config.get(symbol) != "y":
            raise HostNotFit(f"a guest needs a kernel with {symbol}=y, which {built.build} lacks")
    return Lane(name, tools, built, config, accel.choose(tools.tool("qemu"), built))
