# SPDX-License-Identifier: GPL-2.0
"""Which packages of Debian and Ubuntu bring what is missing, and installs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import paths, variables
from lab.errors import HostNotFit
from lab.report import say
from lab.version import Version, dotted, parse_version

# Why each is needed, and the packages that have it where the answer does not depend on versions.
REASONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bc": ("the kernel computes constants with it", ("bc",)),
    "bindgen": ("makes Rust declarations of the kernel's C headers", ()),
    "bison": ("generates parsers of kconfig and dtc", ("bison",)),
    "busybox": ("the guest's shell; a static one, since the guest has no libraries",
                ("busybox-static",)),
    "cargo": ("builds the programs and tests that run outside the kernel", ()),
    "certificates": ("check what cargo and pip download", ("ca-certificates",)),
    "clippy": ("lints Rust", ()),
    "cpio": ("reads what the lab has written for a guest, in a test of that", ("cpio",)),
    "flex": ("generates scanners of kconfig and dtc", ("flex",)),
    "gdb": ("make gdb starts it", ("gdb",)),
    "libc": ("links the guest's programs statically", ("libc6-dev", "gcc")),
    "libc-32": ("links the guest's 32-bit programs", ("gcc-multilib",)),
    "libelf": ("objtool reads object files with it", ("libelf-dev",)),
    "libssl": ("builds the kernel's program that signs modules", ("libssl-dev",)),
    "liburing": ("the sample in C that uses io_uring is linked with it", ("liburing-dev",)),
    "llvm": ("compiles and links the kernel; KASAN with Rust needs clang", ()),
    "make": ("builds the kernel", ("make",)),
    "mmdebstrap": ("makes the Debian roots that are worked in", ("mmdebstrap",)),
    "perl": ("runs scripts of the kernel tree", ("perl",)),
    "qemu": ("boots the kernel", ("qemu-system-x86",)),
    "rust-src": ("the kernel builds Rust's core library itself", ()),
    "rustc": ("compiles the kernel's Rust, and the module", ()),
    "rustfmt": ("checks the format of Rust files", ()),
    "sanitizers": ("runtimes of ThreadSanitizer and AddressSanitizer", ()),
    "shellcheck": ("lints shell scripts", ("shellcheck",)),
    "tar": ("unpacks the kernel", ("tar",)),
    "venv": ("keeps pytest, ruff and mypy apart from the system's Python", ("python3-venv",)),
    "xz": ("unpacks the kernel", ("xz-utils",)),
}  # fmt: skip


def may_install() -> bool:
    """Says whether this process may change the system: on apt, as root or by sudo."""
    return (
        not variables.is_on("NO_INSTALL")
        and shutil.which("apt-get") is not None
        and (os.geteuid() == 0 or shutil.which("sudo") is not None)
    )


def install(
    missing: set[str], minimum: Mapping[str, Version], passed_over: Sequence[str], *, allowed: bool
) -> str:
    """Names what is missing and the command that installs it, and runs that if it may."""
    listing = "\n".join(f"    {tool:<12} {REASONS[tool][0]}" for tool in sorted(missing))
    listing += "".join(f"\n    passed over: {line}" for line in passed_over)
    if not shutil.which("apt-get"):
        versions = ", ".join(f"{tool} {dotted(version)}" for tool, version in minimum.items())
        raise HostNotFit(
            "the lab knows how to install its tools on Debian and Ubuntu alone; on this system"
            f" please install: {', '.join(sorted(missing))} (at least {versions})\n{listing}"
        )
    allowed = allowed and may_install()
    known = Packages.known()
    current = all(known.has(name) for name in known.choose(missing, minimum))
    if not current and allowed:
        say(f"apt's list of packages is old or empty: {shlex.join(_apt('update'))}")
        _run_apt("update")
        known = Packages.known()
    chosen = ("install", "--yes", "--no-install-recommends", *known.choose(missing, minimum))
    shown = shlex.join(_apt(*chosen))
    if not allowed:
        update = "" if current else f"{shlex.join(_apt('update'))} && "
        raise HostNotFit(f"missing here:\n{listing}\nInstall them:\n    {update}{shown}")
    say(f"missing here:\n{listing}\ninstalling:\n    {shown}")
    with paths.locked(paths.cache() / "apt.lock", "installing packages"):
        _run_apt(*chosen)
    return shown


def install_one(package: str, reason: str) -> None:
    """Installs a package that no tool stands for, in this version if it has one: ``name=version``.

    Says so first; or says what is to be done, if it may not.
    """
    command = ("install", "--yes", "--no-install-recommends", package)
    if not may_install():
        raise HostNotFit(f"{package} is missing ({reason}). Install it:\n    "
                         f"{shlex.join(_apt(*command))}")  # fmt: skip
    say(f"installing {package} ({reason}):\n    {shlex.join(_apt(*command))}")
    with paths.locked(paths.cache() / "apt.lock", "installing packages"):
        _run_apt(*command)


def _apt(*arguments: str) -> list[str]:
    """Returns a command of apt-get, through sudo if this is not root."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if sudo and not sys.stdin.isatty():
        sudo.append("--non-interactive")
    return [*sudo, "apt-get", *arguments]


def _run_apt(*arguments: str) -> None:
    """Runs apt-get. Its output belongs to stderr, like everything that is not a result."""
    # Somebody else's apt-get, or the daily one of the system, is waited for.
    command = _apt("-oDPkg::Lock::Timeout=600", *arguments)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run = subprocess.run(command, env=env, stdin=None, stdout=sys.stderr, check=False)
    if run.returncode:
        raise HostNotFit(
            f"'{shlex.join(command)}' failed, and said above why; if it did not find a package,"
            f" '{shlex.join(_apt('update'))}' may help"
        )


@dataclass(frozen=True)
class Packages:
    """What apt could install: a package's name and its version."""

    candidates: Mapping[str, str]

    @classmethod
    def known(cls) -> "Packages":
        """Asks apt for the packages that the lab may have to choose from."""
        names = {name for _, packages in REASONS.values() for name in packages}
        for prefix in (
            "clang",
            "lld",
            "llvm",
            "rustc",
            "rust-",
            "rustfmt",
            "cargo",
            "bindgen",
            "libclang-rt",
        ):
            run = subprocess.run(
                ["apt-cache", "pkgnames", prefix], capture_output=True, text=True, check=False
            )
            names.update(
                name
                for name in run.stdout.split()
                if re.fullmatch(
                    r"(clang|lld|llvm|rustc|rust|rustfmt|cargo|bindgen|libclang-rt)"
                    r"(-web|-[\d.]+)?(-src|-clippy|-dev)?",
                    name,
                )
            )
        run = subprocess.run(
            ["apt-cache", "policy", *sorted(names)],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        return cls(parse_policy(run.stdout))

    def has(self, name: str) -> bool:
        """Says whether apt could install ``name``."""
        return name in self.candidates

    def version(self, name: str) -> Version:
        """Returns the upstream version that apt would install; empty if none."""
        return parse_version(
            self.candidates.get(name, "").partition(":")[2] or self.candidates.get(name, "")
        )

    def choose(self, missing: set[str], minimum: Mapping[str, Version]) -> list[str]:
        """Returns the packages that bring what is missing."""
        chosen: set[str] = set()
        for tool in missing:
            chosen.update(REASONS[tool][1])
        rust = self.rust_suffix(minimum["rustc"])
        llvm = self.llvm_suffix(minimum["llvm"])
        if missing & {"rustc", "rust-src"}:
            chosen |= {f"rustc{rust}", f"rust{rust}-src"}
        if "cargo" in missing:
            chosen.add(f"cargo{rust}")
        if "rustfmt" in missing:
            chosen.add(f"rustfmt{rust}")
        if "clippy" in missing:
            chosen.add(f"rust{rust}-clippy")
        if "llvm" in missing:
            chosen |= {f"clang{llvm}", f"lld{llvm}", f"llvm{llvm}"}
        if "sanitizers" in missing:
            major = self.version(f"clang{llvm}")[:1]
            chosen.add(f"libclang-rt-{dotted(major)}-dev" if major else f"libclang-rt{llvm}-dev")
        if "bindgen" in missing:
            fit = [
                name
                for name in self.candidates
                if re.fullmatch(r"bindgen(-[\d.]+)?", name)
                and self.version(name) >= minimum["bindgen"]
            ]
            # Where apt has none, cargo builds one; see toolchain.build_bindgen().
            chosen.update(
                sorted(fit, key=len)[:1] or {f"cargo{rust}", "ca-certificates", "gcc", "libc6-dev"}
            )
        return sorted(chosen)

    def rust_suffix(self, minimum: Version) -> str:
        """Returns what stands behind ``rustc`` in the name of the family of packages to use."""
        for suffix in ("", "-web"):
            if self.version(f"rustc{suffix}") >= minimum:
                return suffix
        return self._newest("rustc", minimum) or ("-web" if _is_debian_12() else "")

    def llvm_suffix(self, minimum: Version) -> str:
        """Returns what stands behind ``clang`` in the name of the family of packages to use."""
        if self.version("clang") >= minimum:
            return ""
        return self._newest("clang", minimum) or ("-22" if _is_debian_12() else "")

    def _newest(self, tool: str, minimum: Version) -> str:
        fit = [
            (self.version(name), name.removeprefix(tool))
            for name in self.candidates
            if re.fullmatch(rf"{tool}-[\d.]+", name) and self.version(name) >= minimum
        ]
        return max(fit)[1] if fit else ""


def parse_policy(text: str) -> dict[str, str]:
    """Reads ``apt-cache policy``: which version of each package would be installed."""
    candidates: dict[str, str] = {}
    package = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            package = line.rstrip(":")
        elif line.startswith("  Candidate:"):
            version = line.split(":", 1)[1].strip()
            if version != "(none)":
                candidates[package] = version
    return candidates


def _is_debian_12() -> bool:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return False
    lines = text.splitlines()
    return "ID=debian" in lines and 'VERSION_ID="12"' in lines
