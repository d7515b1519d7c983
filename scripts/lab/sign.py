# SPDX-License-Identifier: GPL-2.0
"""``make sign``: signs ringdev.ko with a key of the user's, for a kernel that asks for one.

With Secure Boot on, distributions' kernels load modules only that are signed with a key they know:
their own, or one that the machine's owner has enrolled (MOK). KEY and CERT are such a key and its
certificate in DER; if not given, those that the distribution has made for DKMS. The signing is done
by the kernel's scripts/sign-file, which its headers bring.
"""

import argparse
import subprocess
from pathlib import Path

from lab import kernel, modules, paths, toolchain
from lab.errors import Exit, HostNotFit, LabError, UsageError
from lab.report import say

MODULE = paths.ROOT / "ringdev.ko"

# A key and its certificate, as Debian and Ubuntu make them for DKMS.
KEYS = (
    (Path("/var/lib/dkms/mok.key"), Path("/var/lib/dkms/mok.pub")),
    (Path("/var/lib/shim-signed/mok/MOK.priv"), Path("/var/lib/shim-signed/mok/MOK.der")),
)

# What stands at the end of a module that is signed (include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"


def main(argv: list[str]) -> int:
    """The verb ``sign``."""
    argparse.ArgumentParser(prog="make sign", description=__doc__).parse_args(argv)
    key, certificate = find_key()
    if not MODULE.exists():
        raise HostNotFit(f"there is no {MODULE.name} here; 'make' builds it")
    if MODULE.read_bytes().endswith(SIGNED):
        raise HostNotFit(f"{MODULE.name} is signed already; 'make clean modules' makes another")
    kdir = modules.user_tree()
    config = kernel.read_config(kdir / ".config")
    program = kdir / "scripts/sign-file"
    if not program.exists():
        raise HostNotFit(f"{kdir} has no scripts/sign-file: its kernel was configured without"
                         " CONFIG_MODULE_SIG, and takes modules as they are")  # fmt: skip
    digest = config.get("CONFIG_MODULE_SIG_HASH", "").strip('"') or "sha256"
    sign = [str(program), digest, str(key), str(certificate), str(MODULE)]
    if subprocess.run(sign, check=False).returncode:
        raise LabError(f"'{' '.join(sign)}' failed, and said why; {MODULE.name} is as it was")
    say(f"{MODULE.name} is signed with {key}")
    return Exit.PASSED


def find_key() -> tuple[Path, Path]:
    """Returns the key and the certificate to sign with."""
    key, certificate = toolchain.env_path("KEY"), toolchain.env_path("CERT")
    if bool(key) != bool(certificate):
        raise UsageError(
            "KEY= and CERT= belong together: a private key, and its certificate in DER"
        )
    pairs = [(key, certificate)] if key and certificate else KEYS
    for pair in pairs:
        if all(path.exists() for path in pair):
            return pair
    if key:
        raise UsageError(f"there is no {key}, or no {certificate}")
    raise HostNotFit(
        "there is no key to sign with. Documentation/install.rst has how one is made and enrolled;"
        " give it as KEY= and CERT="
    )
