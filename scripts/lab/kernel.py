# SPDX-License-Identifier: GPL-2.0
"""Gets a lane's kernel: the user's own built tree, or one built here and kept.

A kernel that the lab builds lives in ``kernels/<lane>-<version>-<key>`` of the cache, where
the key stands for all that it is made from: the source, the lane's configuration and the
compilers. kbuild writes absolute paths into what it makes, so a tree is built where it stays,
under a lock, and a stamp that is written last says that it is whole. After an interruption
make goes on from what is there: kbuild takes a file for made only when its ``.cmd`` record,
which is written after it, is there as well.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import command, paths
from lab import source as sources
from lab.command import tail
from lab.debian import Root
from lab.errors import HostNotFit, LabError, UsageError
from lab.report import say
from lab.toolchain import Toolchain, built_by, env_path

# What each lane has on top of allnoconfig, by the files in scripts/lanes; of what two of them say
# the last counts. "inline" is the plain lane, but for one switch, and there to be measured beside
# it. "newest" is the plain lane by other compilers.
FRAGMENTS = {
    "plain": ("base", "plain"),
    "debug": ("base", "debug"),
    "up": ("base", "plain", "up"),
    "rt": ("base", "plain", "rt"),
    "newest": ("base", "plain"),
    "inline": ("base", "plain", "inline"),
}

# What a tree must have when it is done.
TARGETS = ("bzImage", "modules", "scripts_gdb")

# Minutes that a build takes on one core; half of that on two. The debug lane's takes longer.
MINUTES = 16
MINUTES_DEBUG = 22

# A built tree, and what the build needs besides.
ROOM = 5 << 30
# With less than this a build that failed is taken to have failed for it.
FULL = 64 << 20

# So that the same source, configuration and compilers give the same bits.
REPRODUCIBLE = (
    "KBUILD_BUILD_TIMESTAMP=2026-01-01",
    "KBUILD_BUILD_USER=ringdev",
    "KBUILD_BUILD_HOST=lab",
)

# What somebody can do whose own kernel does not take the module.
WAYS_OUT = "`make run` without KDIR builds a kernel that can, and boots it"


@dataclass(frozen=True)
class Kernel:
    """A built kernel tree."""

    lane: str
    src: Path
    build: Path
    release: str
    # Short, and different for kernels for which a module must be built anew.
    key: str
    # The user's own, by KDIR: the lab does not build it.
    from_user: bool = False
    clang: bool = True
    # The Debian that has its compilers, if they are not this machine's.
    root: Root | None = None
    # The image that QEMU boots, if it is not the one that kbuild makes in the tree.
    own_image: Path | None = None

    @property
    def image(self) -> Path:
        """The image that QEMU boots."""
        return self.own_image or self.build / "arch/x86/boot/bzImage"

    @property
    def vmlinux(self) -> Path:
        """The image with symbols."""
        return self.build / "vmlinux"

    @property
    def version(self) -> str:
        """The version without what a configuration appends to it."""
        return self.release.partition("-")[0]

    def make(self, tc: Toolchain, *arguments: str) -> list[str]:
        """Returns the command that runs kbuild in this tree with the compilers it was built by."""
        config = read_config(self.build / ".config")
        variables = [v for v in make_vars(tc, self.root) if self.clang or v != "LLVM=1"]
        return ["make", "-C", str(self.build), *variables, *cc_var(config), *arguments]


@dataclass(frozen=True)
class Compilers:
    """What builds a kernel: what this machine has, or what a Debian root has."""

    tools: Toolchain
    root: Root | None = None

    def identity(self) -> list[str]:
        """Returns what tells these compilers from others."""
        if self.root:
            return [self.root.packages()]
        versions = self.tools.versions
        names = ["rustc", "bindgen", "clang", "ld.lld"]
        if not self.tools.llvm_bin:
            names.append("gcc")
        return [versions.get(name, "") for name in names]

    def make(self, home: Path, source: Path, *arguments: str) -> list[str]:
        """Returns the command that runs kbuild in a source tree, to write below ``home``."""
        make = ["make", "-C", str(source), *make_vars(self.tools, self.root), *arguments]
        return self.root.command(home, [source], make) if self.root else make


def make_vars(tc: Toolchain, root: Root | None) -> list[str]:
    """Returns kbuild's variables that name the compilers: in a root they have their usual names."""
    return ["LLVM=1"] if root else tc.make_vars()


def ensure(lane: str, tc: Toolchain, root: Root | None = None) -> Kernel:
    """Returns the lane's kernel: the user's KDIR, or the lab's own, built first if need be.

    With a root, that one's compilers build it.
    """
    if lane not in FRAGMENTS:
        raise UsageError(f"there is no lane '{lane}', only {' and '.join(FRAGMENTS)}")
    if kdir := env_path("KDIR"):
        if reason := other_rustc(kdir, tc.rustc_version):
            raise HostNotFit(reason)
        return from_kdir(kdir, lane)
    if lane == "debug" and not tc.llvm_bin:
        raise HostNotFit(
            "the debug lane needs clang, ld.lld and llvm: KASAN works with Rust under clang alone"
        )
    source = sources.ensure()
    fragment = lane_fragment(lane, source.version)
    compilers = Compilers(tc, root)
    key = build_key(source.identity, fragment, compilers)
    home = paths.cache() / "kernels" / f"{lane}-{source.version}-{key}"
    stamp = home / "complete"
    # A user's own source can change under us: there make decides what is to be done.
    if stamp.exists() and not source.from_user:
        return load(home, root)
    with paths.locked(home.with_suffix(home.suffix + ".lock"), f"the {lane} kernel") as lock:
        if not stamp.exists() or source.from_user:
            home.mkdir(parents=True, exist_ok=True)
            (home / "fragment").write_text(fragment)
            _build(home, lane, source, compilers, lock)
    return load(home, root)


def from_kdir(build: Path, lane: str) -> Kernel:
    """Returns the user's built tree as a kernel that can be booted; says what it lacks if not."""
    if reason := unfit(build):
        raise HostNotFit(reason)
    config = read_config(build / ".config")
    for name, made_by in (
        ("Module.symvers", "make modules"),
        ("arch/x86/boot/bzImage", "make bzImage"),
        ("vmlinux", "make"),
    ):
        if not (build / name).exists():
            raise HostNotFit(f"KDIR={build} has no {name}: run '{made_by}' there")
    return Kernel(
        lane=lane,
        src=source_of(build),
        build=build,
        release=(build / "include/config/kernel.release").read_text().strip(),
        # The image's time is part of it: after a rebuild a module has to be built anew.
        key=_short(f"{build} {(build / 'vmlinux').stat().st_mtime_ns}"),
        from_user=True,
        clang=config.get("CONFIG_CC_IS_CLANG") == "y",
    )


def running_kernel_tree() -> Path:
    """Returns where the build tree of the running kernel belongs."""
    return Path("/lib/modules") / os.uname().release / "build"


def unfit(kdir: Path) -> str | None:
    """Says in one sentence why modules in Rust cannot be built for this tree; None if they can."""
    config = read_config(kdir / ".config")
    if not config:
        return (
            f"{kdir} is no built kernel tree: for a distribution's kernel install its headers"
            f" (linux-headers-{os.uname().release}); {WAYS_OUT}"
        )
    if config.get("CONFIG_MODULES") != "y":
        return f"the kernel of {kdir} has no loadable modules (CONFIG_MODULES); {WAYS_OUT}"
    if config.get("CONFIG_RUST") != "y":
        return f"the kernel of {kdir} was configured without CONFIG_RUST; {WAYS_OUT}"
    if lacks_crates(kdir):
        return (
            f"{kdir} lacks rust/*.rmeta, the compiled Rust crates of the kernel, as packages of"
            f" headers do; rustc would fail with E0463; `make rust-headers"
            f" KSRC=...` compiles them of the kernel's own source; {WAYS_OUT}"
        )
    return None


def lacks_crates(kdir: Path) -> bool:
    """Says whether a tree is without the compiled Rust crates of its kernel."""
    return not (kdir / "rust/libkernel.rmeta").exists()


def cc_var(config: Mapping[str, str]) -> list[str]:
    """Returns kbuild's variable for the gcc that built a kernel, if it has a name of its own."""
    name = config.get("CONFIG_CC_VERSION_TEXT", "").strip('"').partition(" ")[0]
    return [f"CC={name}"] if config.get("CONFIG_CC_IS_GCC") == "y" and name != "gcc" else []


def other_rustc(kdir: Path, rustc_version: str) -> str | None:
    """Says in one sentence that a tree was built by another rustc; None if it was this one."""
    theirs = built_by(kdir)
    if not theirs or theirs == rustc_version:
        return None
    return (
        f"{kdir} was built by '{theirs}', and here is '{rustc_version or 'no rustc'}'; rustc"
        f" would fail with E0514; put the kernel's rustc into PATH; {WAYS_OUT}"
    )


def source_of(build: Path) -> Path:
    """Returns the source tree that ``build`` was built from."""
    link = build / "source"
    return link.resolve() if link.exists() else build


def read_config(path: Path) -> dict[str, str]:
    """Reads a .config: the value of each symbol; one that is not set is not in the answer."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE))


def lane_fragment(lane: str, version: str) -> str:
    """Returns what the lane's kernel of a version has on top of allnoconfig.

    A file that is called as a series, like 7.2.config, is for kernels of that one.
    """
    folder = paths.ROOT / "scripts/lanes"
    files = [folder / f"{name}.config" for name in FRAGMENTS[lane]]
    of_series = folder / f"{'.'.join(version.split('.')[:2])}.config"
    if of_series.exists():
        files.append(of_series)
    return "".join(file.read_text() for file in files)


def wanted(fragment: str) -> dict[str, str]:
    """Reads a fragment: the value that each symbol shall have, ``n`` for "is not set"."""
    symbols = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", fragment, re.MULTILINE))
    symbols.update(
        dict.fromkeys(re.findall(r"^# (CONFIG_\w+) is not set$", fragment, re.MULTILINE), "n")
    )
    return symbols


def not_taken(fragment: str, config: Mapping[str, str]) -> dict[str, str]:
    """Returns the symbols of the fragment that have another value, with that value."""
    return {
        symbol: config.get(symbol, "n")
        for symbol, value in wanted(fragment).items()
        if config.get(symbol, "n") != value
    }


def build_key(source: str, fragment: str, compilers: Compilers) -> str:
    """Returns a short name for all that a kernel is made from."""
    symbols = sorted(wanted(fragment).items())
    made_from = [source, symbols, compilers.identity(), TARGETS, REPRODUCIBLE]
    return _short(json.dumps(made_from))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load(home: Path, root: Root | None = None) -> Kernel:
    """Returns a kernel that the lab has built in ``home`` of its cache, by a root's compilers."""
    build = home / "build"
    return Kernel(
        lane=home.name.partition("-")[0],
        src=source_of(build),
        build=build,
        release=(build / "include/config/kernel.release").read_text().strip(),
        key=home.name.rpartition("-")[2],
        clang=read_config(build / ".config").get("CONFIG_CC_IS_CLANG") == "y",
        root=root,
    )


def _build(
    home: Path,
    lane: str,
    source: sources.Source,
    compilers: Compilers,
    lock: int,
) -> None:
    """Configures and builds; the stamp is the last thing written."""
    build = home / "build"
    log = home / "build.log"
    stamp = home / "complete"
    resumed = build.exists()
    stamp.unlink(missing_ok=True)
    build.mkdir(exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < ROOM and not resumed:
        raise HostNotFit(
            f"building a kernel takes {ROOM >> 30} GiB in {paths.cache()}, and"
            f" {free >> 20} MiB are free"
        )
    tc = compilers.tools
    make = compilers.make(home, source.path, f"O={build}", *REPRODUCIBLE)
    cores = len(os.sched_getaffinity(0))
    with log.open("w") as output:
        configure = [*make, f"KCONFIG_ALLCONFIG={home / 'fragment'}", "allnoconfig"]
        if command.run(configure, env=tc.env(), log=output, lock=lock):
            raise LabError(f"configuring the {lane} kernel failed; the end of {log}:\n{tail(log)}")
        check_config(home, lane, source.path, tc, make)
        minutes = MINUTES_DEBUG if lane == "debug" else MINUTES
        say(
            f"{'going on with' if resumed else 'building'} the {lane} kernel {source.version}:"
            f" about {max(1, round(minutes / cores))} minutes on {cores} cores, once"
            f" (log: {log})"
        )
        code = command.run(
            [*make, f"-j{cores}", *TARGETS],
            env=tc.env(),
            log=output,
            lock=lock,
            what=f"the {lane} kernel",
        )
    if code:
        if shutil.disk_usage(home).free < FULL:
            raise HostNotFit(f"the disk of {home} is full; make room and start again")
        raise LabError(f"building the {lane} kernel failed; the end of {log}:\n{tail(log)}")
    made_from = {"source": source.identity, "compilers": compilers.identity()}
    stamp.write_text(json.dumps(made_from) + "\n")


def check_config(home: Path, lane: str, src: Path, tc: Toolchain, make: Sequence[str]) -> None:
    """Refuses a configuration in which a symbol of the lane did not take, and says why."""
    config = read_config(home / "build/.config")
    missed = not_taken((home / "fragment").read_text(), config)
    if not missed:
        return
    lines = [
        f"    {symbol} is {value}; {why_not(symbol, config, src)}"
        for symbol, value in missed.items()
    ]
    if "CONFIG_RUST" in missed:
        run = subprocess.run(
            [*make, "rustavailable"],
            env=tc.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        lines += [f"    {line}" for line in (run.stdout + run.stderr).splitlines()]
    raise HostNotFit(
        f"the {lane} kernel of {src} cannot be configured as scripts/lanes asks:\n"
        + "\n".join(lines)
    )


def why_not(symbol: str, config: Mapping[str, str], src: Path) -> str:
    """Explains from the Kconfig files what a symbol depends on, and how that stands."""
    name = symbol.removeprefix("CONFIG_")
    grep = subprocess.run(
        ["grep", "-rlE", "--include=Kconfig*", rf"^\s*(menu)?config {name}$", "."],
        cwd=src,
        capture_output=True,
        text=True,
        check=False,
    )
    conditions: list[str] = []
    for file in grep.stdout.split():
        text = (src / file).read_text(errors="replace")
        for entry in re.findall(
            rf"^\s*(?:menu)?config {name}\n((?:[ \t]+.*\n|\n)*)", text, re.MULTILINE
        ):
            conditions += re.findall(
                r"^\s+depends on (.*)$", entry.replace("\\\n", " "), re.MULTILINE
            )
    if not grep.stdout:
        return "this kernel has no such symbol"
    if not conditions:
        return "it depends on what surrounds it in " + " ".join(grep.stdout.split())
    names = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]+\b", " ".join(conditions)))
    state = ", ".join(f"{n}={config.get(f'CONFIG_{n}', 'n')}" for n in names)
    return f"it depends on {' && '.join(conditions)} (here: {state})"
