# SPDX-License-Identifier: GPL-2.0
"""Chooses between KVM and TCG.

/dev/kvm may be there, open, create a machine and run its BIOS, and yet never get a kernel
past its decompressor: so it is on some nested hosts, where each instruction of the guest is
emulated. QEMU's own fallback does not see that. So the kernel itself is booted once, with a
limit, and the answer is remembered for as long as nothing that it depends on has changed.
"""

import hashlib
import os
import subprocess
import time
from pathlib import Path

from lab import paths
from lab.errors import HostNotFit, UsageError
from lab.kernel import Kernel
from lab.report import say

DEVICE = Path("/dev/kvm")
# A kernel that boots under KVM says its first words within a second. This leaves room for a
# busy host, and is what a host without a working KVM loses, once.
SECONDS = 8.0
# The kernel's first line, which it prints when it has been decompressed and started.
FIRST_WORDS = b"Linux version"


def choose(qemu: Path, kernel: Kernel) -> str:
    """Returns "kvm" or "tcg": what ACCEL says, or what works."""
    forced = os.environ.get("ACCEL", "")
    if forced not in ("", "kvm", "tcg"):
        raise UsageError(f"ACCEL={forced}: there are kvm and tcg")
    if forced == "kvm" and not os.access(DEVICE, os.R_OK | os.W_OK):
        raise HostNotFit(f"ACCEL=kvm, but this user cannot open {DEVICE}")
    if forced:
        return forced
    return "kvm" if kvm_works(qemu, kernel) else "tcg"


def kvm_works(qemu: Path, kernel: Kernel) -> bool:
    """Tells whether a guest gets anywhere under KVM. Asks once for each kernel and boot."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    memory = paths.cache() / "kvm" / _circumstances(qemu, kernel)
    if not memory.exists():
        say(f"trying whether {DEVICE} works (up to {SECONDS:.0f} s, once)")
        works = _probe(qemu, kernel.image)
        if not works:
            say("it does not: guests are emulated (TCG), which is slower")
        memory.parent.mkdir(exist_ok=True)
        memory.write_text("works\n" if works else "does not work\n")
    return memory.read_text() == "works\n"


def _circumstances(qemu: Path, kernel: Kernel) -> str:
    image = kernel.image.stat()
    facts = (
        str(qemu.resolve()),
        str(qemu.stat().st_mtime_ns),
        f"{kernel.image} {image.st_size} {image.st_mtime_ns}",
        # Changes with the host's kernel and its own hypervisor, as far as these can change.
        Path("/proc/sys/kernel/random/boot_id").read_text(),
    )
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _probe(qemu: Path, image: Path) -> bool:
    command = [
        str(qemu),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "pc", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "512M"),
        *("-kernel", str(image), "-append", "console=ttyS0 panic=-1"),
        *("-serial", "stdio"),
    ]
    guest = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert guest.stdout is not None
    os.set_blocking(guest.stdout.fileno(), False)
    said = b""
    limit = time.monotonic() + SECONDS
    try:
        while time.monotonic() < limit and FIRST_WORDS not in said:
            said += guest.stdout.read() or b""
            if guest.poll() is not None:
                break
            time.sleep(0.05)
        return FIRST_WORDS in said + (guest.stdout.read() or b"")
    finally:
        guest.kill()
        guest.wait()
        guest.stdout.close()
