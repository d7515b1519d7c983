# SPDX-License-Identifier: GPL-2.0
"""Chooses the packages of Debian and Ubuntu that provide what is missing, and installs them.

Compilers and what belongs to them come in families: a rustc with its cargo, rustfmt, clippy and
library source, a clang with its linker, tools and sanitizer runtimes. Where one member of a family
is in use, the others must match it. apt's newest version does not count then: it may have become
newer since the first member was installed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    "libc-32": ("links the guest's 32-bit programs", ()),
    "libclang": ("bindgen parses the kernel's C headers with it", ()),
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
    "venv": ("keeps pytest, ruff and mypy apart from the system's Python", ()),
    "xz": ("unpacks the kernel", ("xz-utils",)),
}  # fmt: skip

# What rustc needs beside it, by the tools in REASONS: the package, by the family's suffix, and the
# component of rustup.
RUST_PARTS: Mapping[str, tuple[str, str]] = {
    "cargo": ("cargo{}", "cargo"),
    "clippy": ("rust{}-clippy", "clippy"),
    "rust-src": ("rust{}-src", "rust-src"),
    "rustfmt": ("rustfmt{}", "rustfmt"),
}

# The packages of a whole LLVM, by the family's suffix.
LLVM_PARTS = ("clang{}", "lld{}", "llvm{}")

# The names of packages that belong to a family.
FAMILIES = re.compile(
    r"(clang|lld|llvm|rustc|rust|rustfmt|cargo|bindgen|libclang-rt|libclang1)(-web|-[\d.]+)?"
    r"(-src|-clippy|-dev)?|gcc(-\d+)?-multilib|python3(\.\d+)?-venv"
)
PREFIXES = ("bindgen", "cargo", "clang", "gcc", "libclang", "lld", "llvm", "python3", "rust")


class NoMatch(HostNotFit):
    """No package on offer matches the tool in use."""


@dataclass(frozen=True)
class Tool:
    """A tool that is in use, or is to be completed."""

    path: Path
    # The first line of its --version.
    text: str

    def __str__(self) -> str:
        """Names the tool as messages do."""
        return f"{self.path} ({self.text})"


@dataclass(frozen=True)
class InUse:
    """The tools of this machine that fix the family of what is missing."""

    rustc: Tool | None = None
    clang: Tool | None = None
    # rustc and clang above lack a part that the lab needs of each. What completes them is
    # preferred to another family, but they are not in use yet.
    incomplete: frozenset[str] = frozenset()
    # The linker's driver.
    cc: Tool | None = None
    # The Python that runs the lab.
    python: Tool | None = None
    # The first line of --version of the compilers that built the kernel in KDIR.
    kernel_rustc: str = ""
    kernel_clang: str = ""


def may_install() -> bool:
    """Says whether this process may change the system: on apt, as root or by sudo."""
    return (
        not variables.is_on("NO_INSTALL")
        and shutil.which("apt-get") is not None
        and (os.geteuid() == 0 or shutil.which("sudo") is not None)
    )


def install(
    missing: set[str],
    minimum: Mapping[str, Version],
    in_use: InUse,
    passed_over: Sequence[str],
    *,
    allowed: bool,
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
    current = known.can_provide(missing, minimum, in_use)
    if not current and allowed:
        say(f"apt's list of packages is old or empty: {shlex.join(_apt('update'))}")
        _run_apt("update")
        known = Packages.known()
    try:
        chosen = install_command(known, known.choose(missing, minimum, in_use))
    except NoMatch as error:
        if allowed:
            raise
        update = shlex.join(_apt("update"))
        raise NoMatch(
            f"{error}\nIf apt's list of packages is old, refresh it first:\n    {update}"
        ) from error
    shown = shlex.join(_apt(*chosen))
    if not allowed:
        update = "" if current else f"{shlex.join(_apt('update'))} && "
        raise HostNotFit(f"missing here:\n{listing}\nInstall them:\n    {update}{shown}")
    say(f"missing here:\n{listing}\ninstalling:\n    {shown}")
    with paths.locked(paths.cache() / "apt.lock", "installing packages"):
        _run_apt(*chosen)
    return shown


def install_command(known: "Packages", chosen: Sequence[str]) -> list[str]:
    """Returns the words behind ``apt-get`` that install packages, as `Packages.choose` has them."""
    command = ["install", "--yes", "--no-install-recommends"]
    # A part of another release, which an earlier installation left beside the tool in use.
    if any("=" in package and known.is_installed(package) for package in chosen):
        command.append("--allow-downgrades")
    return [*command, *chosen]


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
    """What apt could install, and what it has installed: the names and versions of packages."""

    # The version that apt would install.
    candidates: Mapping[str, str]
    # All versions on offer. Where a name is not in it, there is the candidate alone.
    offered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def known(cls) -> "Packages":
        """Asks apt for the packages that the lab may have to choose from."""
        names = {name for _, packages in REASONS.values() for name in packages}
        for prefix in PREFIXES:
            run = subprocess.run(
                ["apt-cache", "pkgnames", prefix], capture_output=True, text=True, check=False
            )
            names.update(name for name in run.stdout.split() if FAMILIES.fullmatch(name))
        run = subprocess.run(
            ["apt-cache", "policy", *sorted(names)],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        return parse_policy(run.stdout)

    def has(self, package: str) -> bool:
        """Says whether apt could install ``package``, which may be ``name=version``."""
        return package.partition("=")[0] in self.candidates

    def is_installed(self, package: str) -> bool:
        """Says whether some version of ``package``, which may be ``name=version``, is installed."""
        return package.partition("=")[0] in self.installed

    def version(self, name: str) -> Version:
        """Returns the upstream version that apt would install; empty if none."""
        return upstream(self.candidates.get(name, ""))

    def can_provide(self, missing: set[str], minimum: Mapping[str, Version], in_use: InUse) -> bool:
        """Says whether apt knows all packages that provide what is missing."""
        try:
            return all(self.has(package) for package in self.choose(missing, minimum, in_use))
        except NoMatch:
            return False

    def choose(
        self, missing: set[str], minimum: Mapping[str, Version], in_use: InUse | None = None
    ) -> list[str]:
        """Returns the packages that provide what is missing, some of them as ``name=version``.

        Fails with `NoMatch` if none on offer matches the tool in use.
        """
        in_use = in_use or InUse()
        chosen: set[str] = set()
        for tool in missing:
            chosen.update(REASONS[tool][1])
        fit = [
            name
            for name in self.candidates
            if re.fullmatch(r"bindgen(-[\d.]+)?", name) and self.version(name) >= minimum["bindgen"]
        ]
        rust = missing & {"rustc", *RUST_PARTS}
        if "bindgen" in missing:
            # Where apt has none, cargo builds one; see toolchain.build_bindgen().
            chosen.update(sorted(fit, key=len)[:1] or {"ca-certificates", "gcc", "libc6-dev"})
            rust |= set() if fit else {"cargo"}
        if rust:
            chosen |= self._rust(rust, minimum["rustc"], in_use)
        if llvm := missing & {"llvm", "libclang", "sanitizers"}:
            chosen |= self._llvm(llvm, minimum["llvm"], in_use)
        if "libc-32" in missing:
            chosen.add(self._libc_32(in_use.cc))
        if "venv" in missing:
            chosen.add(self._venv(in_use.python))
        return sorted(chosen)

    def _rust(self, missing: set[str], minimum: Version, in_use: InUse) -> set[str]:
        """Returns the packages of Rust's tools that are missing."""
        if rustc := in_use.rustc:
            # A rustc that is missing although there is one lacks its source.
            lacks = {"rust-src"} if "rustc" in missing else set()
            parts = sorted((missing | lacks) & RUST_PARTS.keys())
            owner = owner_of(rustc.path)
            suffix = owner.removeprefix("rustc")
            wanted = {part: RUST_PARTS[part][0].format(suffix) for part in parts}
            # Parts of Rust belong to one release alone.
            found = self._matching(wanted, self.installed.get(owner, ""), digits=3)
            absent = [part for part in wanted if part not in found]
            if not absent:
                return set(found.values())
            if "rustc" not in in_use.incomplete:
                raise NoMatch(self._no_rust(rustc, owner, wanted, absent, minimum))
        if in_use.kernel_rustc:
            return self._rust_of_kernel(missing, in_use.kernel_rustc)
        suffix = self.rust_suffix(minimum)
        whole = {part: names[0].format(suffix) for part, names in RUST_PARTS.items()}
        # What is installed of the family must keep up with its rustc.
        chosen = {
            name for part, name in whole.items() if part in missing or self.is_installed(name)
        }
        if missing & {"rustc", "rust-src"}:
            chosen |= {f"rustc{suffix}", whole["rust-src"]}
        return chosen

    def _rust_of_kernel(self, missing: set[str], kernel_rustc: str) -> set[str]:
        """Returns the packages of the rustc that built a kernel, as no other builds its modules."""
        names = [name for name in self.candidates if re.fullmatch(r"rustc(-web|-[\d.]+)?", name)]
        for name in names:
            suffix = name.removeprefix("rustc")
            parts = {part: package.format(suffix) for part, (package, _) in RUST_PARTS.items()}
            wanted = {
                part: package
                for part, package in parts.items()
                if part in missing or self.is_installed(package)
            }
            if missing & {"rustc", "rust-src"}:
                wanted |= {"rustc": name, "rust-src": parts["rust-src"]}
            for version in self.offered.get(name) or [self.candidates[name]]:
                found = self._matching(wanted, version, digits=3)
                fits = upstream(version) == parse_version(kernel_rustc)
                if fits and found.keys() == wanted.keys():
                    return set(found.values())
        raise NoMatch(
            f"the kernel in KDIR was built by {kernel_rustc}, and only that rustc can build modules"
            f" for it; none is here, and apt offers {self._offers(sorted(names)) or 'none'}."
            " Put the kernel's rustc into PATH, or name a kernel that was built by one on offer"
        )

    def _no_rust(
        self,
        rustc: Tool,
        owner: str,
        wanted: Mapping[str, str],
        absent: Sequence[str],
        minimum: Version,
    ) -> str:
        """Says why nothing on offer belongs to the rustc in use, and what can be done."""
        said = [f"{' and '.join(absent)} must be of the same release as rustc, which is {rustc}"]
        suffix = owner.removeprefix("rustc")
        if not owner or not all(self.has(wanted[part]) for part in absent):
            suffix = self.rust_suffix(minimum)
        family = [f"rustc{suffix}", *(names[0].format(suffix) for names in RUST_PARTS.values())]
        toolchain = re.search(r"/toolchains/([^/]+)/bin/rustc$", str(rustc.path))
        if owner:
            said.append(f"that is {owner} {self.installed.get(owner, '')}, and apt offers"
                        f" {self._offers(wanted[part] for part in absent)}")  # fmt: skip
            wanting = [name for part, name in zip(RUST_PARTS, family[1:], strict=True)
                       if part in wanted or self.is_installed(name)]  # fmt: skip
            fix = shlex.join(_apt("install", family[0], *wanting))
            advice = "Bring the whole family to the release on offer"
        elif toolchain:
            components = (RUST_PARTS[part][1] for part in absent)
            fix = shlex.join(["rustup", "component", "add", "--toolchain", toolchain[1],
                              *components])  # fmt: skip
            advice = "Install them by rustup, which installed this rustc"
        else:
            fix = shlex.join(_apt("install", *family))
            advice = "No package brought this rustc. Install a complete one, which is preferred"
        return f"{'; '.join(said)}. {advice}:\n    {fix}"

    def _llvm(self, missing: set[str], minimum: Version, in_use: InUse) -> set[str]:
        """Returns the packages of LLVM that are missing."""
        if clang := in_use.clang:
            owner = owner_of(clang.path)
            major = dotted(parse_version(clang.text)[:1])
            wanted = {name: name for name in _llvm_packages(missing, f"-{major}")}
            # The clang itself is there.
            wanted.pop(f"clang-{major}", None)
            # Within a major version LLVM's parts fit each other, and share folders.
            found = self._matching(wanted, self.installed.get(owner, ""), digits=1)
            absent = [name for name in wanted if name not in found]
            if not absent:
                return set(found.values())
            if "llvm" not in in_use.incomplete:
                raise NoMatch(self._no_llvm(clang, owner, absent, missing, minimum))
        if release := parse_version(in_use.kernel_clang):
            # Another clang would do, with a warning of kbuild's.
            parts = _llvm_packages(missing, f"-{release[0]}")
            if parts <= self.candidates.keys():
                return parts
        return self._llvm_family(missing, minimum)

    def _llvm_family(self, missing: set[str], minimum: Version) -> set[str]:
        """Returns LLVM's packages where nothing that is there fixes their release."""
        suffix = self.llvm_suffix(minimum)
        major = self.version(f"clang{suffix}")[:1]
        return _llvm_packages(missing, f"-{dotted(major)}" if major else suffix, suffix)

    def _no_llvm(
        self,
        clang: Tool,
        owner: str,
        absent: Sequence[str],
        missing: set[str],
        minimum: Version,
    ) -> str:
        """Says why nothing on offer belongs to the clang in use, and what can be done."""
        said = [f"{' and '.join(sorted(missing))} must match the clang in use, which is {clang}"]
        if owner:
            version = self.installed.get(owner, "")
            said.append(f"that is {owner} {version}, and apt offers {self._offers(absent)}")
        else:
            said.append("no package brought it")
        whole = sorted(self._llvm_family({"llvm", *missing}, minimum))
        number = dotted(self.version(f"clang{self.llvm_suffix(minimum)}")[:1])
        return (
            f"{'; '.join(said)}. Install another LLVM as a whole, and put it in front of PATH:\n"
            f"    {shlex.join(_apt('install', *whole))}\n"
            f"    PATH=/usr/lib/llvm-{number}/bin:$PATH make ..."
        )

    def _matching(self, wanted: Mapping[str, str], version: str, *, digits: int) -> dict[str, str]:
        """Returns what apt-get installs of the wanted packages that matches another's version.

        That is the same version; else one of the same upstream version, as Debian's
        revisions of parts may differ; else one of which so many numbers are the same.
        """
        found: dict[str, str] = {}
        ours = upstream(version)
        for key, name in wanted.items():
            candidate = self.candidates.get(name, "")
            offered = [candidate, self.installed.get(name, ""), *self.offered.get(name, ())]
            theirs = {each: upstream(each) for each in offered if upstream(each)}
            same = [each for each in theirs if each == version]
            same += [each for each in theirs if theirs[each] == ours]
            same += [each for each in theirs if theirs[each][:digits] == ours[:digits]]
            if same:
                found[key] = name if same[0] == candidate else f"{name}={same[0]}"
        return found

    def _offers_like(self, pattern: str) -> str:
        """Says which packages apt offers whose names match a pattern, and in which versions."""
        names = sorted(name for name in self.candidates if re.fullmatch(pattern, name))
        return self._offers(names) or "none"

    def _offers(self, names: Iterable[str]) -> str:
        """Says in which versions apt offers packages."""
        return ", ".join(
            f"{name} {' and '.join(self.offered.get(name, ())) or self.candidates[name]}"
            if name in self.candidates
            else f"no {name}"
            for name in names
        )

    def _libc_32(self, cc: Tool | None) -> str:
        """Returns the package with the 32-bit libraries of the gcc in use."""
        series = re.search(r"gcc-(\d+)$", cc.path.name) if cc else None
        if not cc or not series:
            return "gcc-multilib"
        if package := self._of_series(f"gcc-{series[1]}-multilib", "gcc-multilib"):
            return package
        raise NoMatch(
            f"the 32-bit libraries must be of the same release as cc, which is {cc}; apt offers"
            f" {self._offers_like(r'gcc(-[0-9]+)?-multilib')}. Have cc be the gcc on offer:\n"
            f"    {shlex.join(_apt('install', 'gcc', 'gcc-multilib'))}"
        )

    def _venv(self, python: Tool | None) -> str:
        """Returns the package with which the Python in use makes virtual environments."""
        if not python:
            return "python3-venv"
        series = re.search(r"python(3\.\d+)$", python.path.name)
        owner = owner_of(python.path)
        if owner and series and (
            package := self._of_series(f"python{series[1]}-venv", "python3-venv")
        ):  # fmt: skip
            return package
        offers = f"apt offers {self._offers_like(r'python3([.][0-9]+)?-venv')}"
        raise NoMatch(
            f"venv must be of the Python that runs the lab, which is {python};"
            f" {offers if owner else f'no package brought it, and {offers}'}."
            " Run the lab by the Python on offer:\n"
            f"    {shlex.join(_apt('install', 'python3', 'python3-venv'))}\n"
            "    PATH=/usr/bin:$PATH make ..."
        )

    def _of_series(self, own: str, default: str) -> str:
        """Returns a series' own package, or the default one if it is of that series; else nothing.

        The name of the package ``own`` says the series: 13 or 3.12.
        """
        if own in self.candidates:
            return own
        series = re.findall(r"\d+", own)
        version = re.findall(r"\d+", self.candidates.get(default, "").rpartition(":")[2])
        return default if version[: len(series)] == series else ""

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


def _llvm_packages(missing: set[str], number: str, suffix: str | None = None) -> set[str]:
    """Returns LLVM's packages for what is missing: of the release ``number``, ``-19`` say.

    The whole LLVM may have other names, with ``suffix``; its parts have the number in theirs.
    """
    chosen: set[str] = set()
    if "llvm" in missing:
        chosen.update(part.format(number if suffix is None else suffix) for part in LLVM_PARTS)
    if "sanitizers" in missing:
        chosen.add(f"libclang-rt{number}-dev")
    if "libclang" in missing:
        chosen.add(f"libclang1{number}")
    return chosen


def owner_of(path: Path) -> str:
    """Returns the package that installed a file; empty if none did."""
    for place in dict.fromkeys((path, path.resolve())):
        try:
            run = subprocess.run(
                ["dpkg-query", "--search", str(place)], capture_output=True, text=True, check=False
            )
        except OSError:
            return ""
        line = rf"^([^\s:,]+)(?::\w+)?: {re.escape(str(place))}$"
        if match := re.search(line, run.stdout, re.MULTILINE):
            return match[1]
    return ""


def upstream(version: str) -> Version:
    """Returns the upstream part of a package's version; empty if there is none."""
    return parse_version(version.partition(":")[2] or version)


def parse_policy(text: str) -> Packages:
    """Reads ``apt-cache policy``: which versions of packages are on offer, and installed."""
    candidates: dict[str, str] = {}
    offered: dict[str, list[str]] = {}
    installed: dict[str, str] = {}
    package = version = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            package, version = line.rstrip(":"), ""
        elif match := re.fullmatch(r"  (Installed|Candidate): (?!\(none\))(\S+)", line):
            (installed if match[1] == "Installed" else candidates)[package] = match[2]
        elif match := re.match(r" (?:\*\*\*|   ) (\S+) -?\d+\b", line):
            # Behind the priority, Ubuntu may say "(phased 40%)".
            version = match[1]
        elif version and re.match(r" {8}", line) and not line.endswith(" /var/lib/dpkg/status"):
            # A place that has it; dpkg alone cannot install it again.
            versions = offered.setdefault(package, [])
            if version not in versions:
                versions.append(version)
    return Packages(candidates, offered, installed)


def _is_debian_12() -> bool:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return False
    lines = text.splitlines()
    return "ID=debian" in lines and 'VERSION_ID="12"' in lines
