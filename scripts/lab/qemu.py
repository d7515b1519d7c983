# SPDX-License-Identifier: GPL-2.0
"""The QEMU command line of a guest.

A guest has no disk, no network and nothing of the host's file system. What it has are the
kernel's console (an 8250, which works from the first instruction to the last) and virtio
serial ports, one for each thing that guest and host say to each other.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Port(IntEnum):
    """The virtio serial ports, by number: in the guest they are /dev/vport0pN.

    guest/lib.sh knows the numbers. 0 is reserved for consoles by QEMU.
    """

    RECORD = 1  # what happened, line by line (guest to host), and the host's answers
    STDIN = 2
    STDOUT = 3
    STDERR = 4
    RESULTS = 5  # KTAP of the KUnit suites
    KLOG = 6  # the kernel's log, as it is at the end


# The names of the two 8250 ports: the kernel's console (ttyS0), and the command's terminal
# (ttyS1) where a person sits before the host's.
CONSOLE = "console"
TERMINAL = "terminal"
# QEMU's own, for commands to QEMU.
MONITOR = "monitor"


# The CPU that is emulated: all that QEMU can, but for
#
# - five levels of page tables. While the kernel (7.3) reads the features of its first CPU anew,
#   that one is gone for a moment; KASAN then takes four levels for granted, and an interrupt at
#   that moment for an access to wild memory.
# - fast strings, for which the kernel copies with `rep movsb`. QEMU emulates that byte by byte, and
#   where instructions are counted it counts one for each, while hardware that has fast strings
#   copies far more at a time. `rep movsq`, at 8 bytes, is the nearest to it that there is.
TCG_CPU = "max,-la57,-erms,-fsrm"


@dataclass(frozen=True)
class Machine:
    """The machine that QEMU is to emulate."""

    qemu: Path
    accel: str
    image: Path
    cpus: int = 2
    memory_mib: int = 1024
    # Further words for the kernel's command line, and further arguments for QEMU.
    append: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    # Let a nanosecond of the guest's time pass with each instruction, on one CPU, under TCG.
    icount: bool = False
    # What emulates the CPUs under TCG: a thread for each ("multi"), or one ("single").
    threads: str = "multi"

    def command(self, initramfs: str, ends: Mapping[str, socket.socket]) -> list[str]:
        """Returns QEMU's command line. It inherits its ends of the ports, by their names."""
        # Two CPUs under TCG are two threads of the host: races between them are real.
        accel = f"tcg,thread={self.threads}" if self.accel == "tcg" else self.accel
        cpu, cpus = "host" if self.accel == "kvm" else TCG_CPU, self.cpus
        arguments = self.arguments
        if self.icount:
            accel, cpu, cpus = "tcg,thread=single", TCG_CPU, 1
            arguments += ("-icount", "shift=0,sleep=off")
        command = [
            str(self.qemu),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-machine", "q35,usb=off,vmport=off", "-accel", accel),
            *("-cpu", cpu, "-smp", str(cpus), "-m", f"{self.memory_mib}M"),
            *("-kernel", str(self.image), "-initrd", initramfs),
            *("-append", " ".join(self._kernel_command_line())),
            *("-device", f"virtio-serial-pci,max_ports={max(Port) + 1}"),
        ]
        for name, end in ends.items():
            command += ["-chardev", f"socket,id={name},fd={end.fileno()}"]
            if name in (CONSOLE, TERMINAL):
                command += ["-device", f"isa-serial,chardev={name}"]
            elif name == MONITOR:
                command += ["-mon", f"chardev={name}"]
            else:
                command += ["-device", f"virtserialport,nr={Port[name]},chardev={name},name={name}"]
        return [*command, *arguments]

    def _kernel_command_line(self) -> list[str]:
        # panic=-1: a panic restarts at once, which -no-reboot makes the end of QEMU.
        # ignore_loglevel: whatever the kernel has to say is on the console, for the scanner.
        # no_timer_check: that check counts ticks against loops of the CPU, and panics where a busy
        # host lets QEMU deliver too few.
        # oops=panic: nothing that such a kernel goes on to do means anything.
        words = ["console=ttyS0", "panic=-1", "oops=panic", "ignore_loglevel", "printk.time=1"]
        return [*words, "no_timer_check", *self.append]
