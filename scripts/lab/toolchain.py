# SPDX-License-Identifier: GPL-2.0
"""Finds the tools that the lab runs, and installs those that are missing.

A tool that is there but unfit (too old, a rustc without its library's source) is passed over
for the next one. What is still missing then is named, with the reason and the one command
that installs it, before that command is run. What the tools are wanted for decides which are
looked for, so that ``make run`` does not install what only ``make lint`` needs.
"""

import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache as remember
from pathlib import Path

from lab import command, environment, packages, paths
from lab.command import tail
from lab.errors import HostNotFit, LabError
from lab.report import say
from lab.version import Version, dotted, parse_version

# What Linux 7.3 asks for in scripts/min-tool-version.sh; a kernel tree's own script wins.
MINIMUM: Mapping[str, Version] = {
    "rustc": (1, 85, 0),
    "bindgen": (0, 71, 1),
    "llvm": (17, 0, 1),
    "gcc": (8, 1, 0),
}

# Where packages put what they install.
USR = Path("/usr")

# The bindgen that is built from source where the distribution has none that is new enough.
BINDGEN_VERSION = "0.73.2"

# What of LLVM the kernel's LLVM=1 calls.
LLVM_TOOLS = (
    "clang",
    "ld.lld",
    "llvm-ar",
    "llvm-nm",
    "llvm-objcopy",
    "llvm-objdump",
    "llvm-readelf",
    "llvm-strip",
)

# The purposes that tools can be wanted for; `find` takes a set of these.
WANTS: Mapping[str, tuple[str, ...]] = {
    # Configure and build a kernel and the module.
    "kernel": ("rustc", "rust-src", "bindgen", "libclang", "llvm", "bc", "bison", "flex", "libelf",
               "make", "perl", "tar", "xz"),
    # Compile the Rust crates of a distribution's kernel.
    "rust-headers": ("rustc", "rust-src", "bindgen", "libclang", "bc", "bison", "flex", "libelf",
                     "libssl", "make", "perl", "tar", "xz"),
    # Build the module for a kernel that is there; the second, if clang built that.
    "module": ("rustc", "bindgen", "libclang", "make"),
    "clang": ("llvm",),
    # Describe the module's crates to an editor: kbuild wants all of Rust's tools for that.
    "analyzer": ("rust-src", "bindgen", "libclang"),
    # Boot it.
    "boot": ("qemu", "busybox"),
    # Build the static programs that run in the guest.
    "guest": ("rustc", "cargo", "certificates", "libc"),
    # The same for 32 bits; rustc comes without the standard library for these.
    "guest-32": ("rustc", "rust-src", "cargo", "certificates", "libc-32"),
    # Build the samples in C.
    "samples": ("libc", "liburing", "make"),
    # Build ringctl for this machine.
    "tools": ("rustc", "cargo", "certificates", "libc"),
    # Make a Debian root.
    "root": ("mmdebstrap",),
    # Run the tests of the ring's core on the host, also under the sanitizers.
    "host-tests": ("rustc", "cargo", "certificates", "llvm", "sanitizers"),
    # Compile the header that programs include.
    "abi": ("llvm", "libc"),
    # Run the lab's own tests.
    "lab-tests": ("venv", "cpio"),
    # Read the sources.
    "lint": ("rustc", "cargo", "certificates", "rustfmt", "clippy", "perl", "shellcheck", "venv"),
    # Make pages of the documents and of what rustdoc reads.
    "docs": ("rustc", "cargo", "certificates", "venv"),
    # Look into a running guest.
    "gdb": ("gdb",),
}  # fmt: skip


@dataclass(frozen=True)
class Toolchain:
    """The tools that were found. Asking for one that was not wanted is a mistake in the lab."""

    tools: Mapping[str, Path]
    # `rustc --version`, as the kernel's CONFIG_RUSTC_VERSION_TEXT has it.
    rustc_version: str = ""
    # The folder of clang, ld.lld and the llvm-* tools; None where gcc builds the kernel.
    llvm_bin: Path | None = None
    # What was passed over, and why.
    passed_over: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def tool(self, name: str) -> Path:
        """Returns the path of a tool by its name in WANTS."""
        if name not in self.tools:
            raise LabError(f"the lab uses {name} without having asked for it: a bug in the lab")
        return self.tools[name]

    @property
    def rustc(self) -> Path:
        """The compiler, not a switcher in front of it."""
        return self.tool("rustc")

    @property
    def bindgen(self) -> Path:
        """Turns C headers into Rust declarations."""
        return self.tool("bindgen")

    @property
    def cargo(self) -> Path:
        """The cargo of `rustc`'s release."""
        return self.tool("cargo")

    @property
    def rustfmt(self) -> Path:
        """The rustfmt of `rustc`'s release."""
        return self.tool("rustfmt")

    @property
    def clippy_driver(self) -> Path:
        """The clippy-driver of `rustc`'s release."""
        return self.tool("clippy")

    @property
    def rustdoc(self) -> Path:
        """The rustdoc of `rustc`'s release."""
        return self.rustc.with_name("rustdoc")

    @property
    def qemu(self) -> Path:
        """qemu-system-x86_64."""
        return self.tool("qemu")

    @property
    def busybox(self) -> Path:
        """A statically linked busybox."""
        return self.tool("busybox")

    @property
    def gdb(self) -> Path:
        """The debugger."""
        return self.tool("gdb")

    def env(self) -> dict[str, str]:
        """Returns the environment for everything that the lab starts."""
        return build_env(self.rustc.parent if "rustc" in self.tools else None, self.llvm_bin)

    def make_vars(self) -> list[str]:
        """Returns kbuild's variables that name these tools."""
        names = [f"RUSTC={self.rustc}", f"HOSTRUSTC={self.rustc}", f"RUSTDOC={self.rustdoc}"]
        if "bindgen" in self.tools:
            names.append(f"BINDGEN={self.bindgen}")
        if "rustfmt" in self.tools:
            names.append(f"RUSTFMT={self.rustfmt}")
        if "clippy" in self.tools:
            names.append(f"CLIPPY_DRIVER={self.clippy_driver}")
        if self.llvm_bin:
            names.append("LLVM=1")
        return names


def build_env(rust_bin: Path | None, llvm_bin: Path | None) -> dict[str, str]:
    """Returns a neutral environment with these tools in PATH."""
    env = environment.neutral()
    path = env.get("PATH", os.defpath)
    # /sbin: an ordinary user's PATH may lack it, and depmod and modinfo live there.
    env["PATH"] = ":".join([*(str(p) for p in (llvm_bin, rust_bin) if p), path, "/usr/sbin:/sbin"])
    if llvm_bin and _has_libclang(llvm_bin.parent / "lib"):
        env["LIBCLANG_PATH"] = str(llvm_bin.parent / "lib")
    return env


def env_path(name: str) -> Path | None:
    """Returns the folder that the user names in an environment variable, if any."""
    value = os.environ.get(name)
    return Path(value).expanduser().resolve() if value else None


def built_by(kdir: Path, tool: str = "RUSTC") -> str:
    """Returns the ``--version`` of what built a kernel, RUSTC or CC; empty if that is not said."""
    try:
        config = (kdir / ".config").read_text()
    except OSError:
        return ""
    match = re.search(rf'^CONFIG_{tool}_VERSION_TEXT="(.*)"$', config, re.MULTILINE)
    return match.group(1) if match else ""


def minimums(*trees: Path | None) -> Mapping[str, Version]:
    """Returns the oldest usable versions, by the script of the first kernel tree that has one."""
    scripts = (tree / "scripts/min-tool-version.sh" for tree in trees if tree)
    script = next((script for script in scripts if script.exists()), None)
    if not script:
        return MINIMUM
    found: dict[str, Version] = {}
    for name, default in MINIMUM.items():
        run = subprocess.run(
            ["sh", script, name],
            env={**build_env(None, None), "SRCARCH": "x86", "ARCH": "x86"},
            capture_output=True,
            text=True,
            check=False,
        )
        found[name] = parse_version(run.stdout) or default
    return found


def find(
    *,
    lane: str | None = None,
    want: Iterable[str],
    kdir: Path | None = None,
    install: bool = True,
) -> Toolchain:
    """Returns the tools for the purposes in ``want``, after installing what is missing.

    ``kdir`` is the built kernel tree that they are for, KDIR if it is not given: the compilers
    that built it are taken if they are there at all. Its minimum versions count, or those of KSRC.
    With ``install`` off, what is missing is fatal, as with NO_INSTALL=1.
    """
    kdir = kdir or env_path("KDIR")
    minimum = minimums(kdir / "source" if kdir else None, kdir, env_path("KSRC"))
    theirs = (built_by(kdir), built_by(kdir, "CC")) if kdir else ()
    wants = set(want)
    needed = {tool for purpose in wants for tool in WANTS[purpose]}
    if "kernel" in wants and os.uname().machine != "x86_64":
        raise HostNotFit(f"the lab builds and boots x86_64 kernels; this is {os.uname().machine}")
    # With gcc the plain lane can do; without clang there is no KASAN for Rust.
    gcc_will_do = lane == "plain" and not packages.may_install()
    survey = Survey(minimum, *theirs)
    if missing := survey.missing(needed, gcc_will_do):
        installed = packages.install(
            missing, survey.minimum, survey.in_use(), survey.passed_over, allowed=install
        )
        survey = Survey(minimum, *theirs)
        if missing := survey.missing(needed, gcc_will_do):
            raise HostNotFit(
                f"still not there after '{installed}': {', '.join(sorted(missing))}\n"
                + "\n".join(survey.passed_over)
            )
    return survey.toolchain(needed)


class Survey:
    """What this machine has. Each probe is made once, when it is first asked for."""

    def __init__(
        self,
        minimum: Mapping[str, Version],
        rustc_text: str | None = None,
        clang_text: str | None = None,
    ) -> None:
        """Prepares a survey for these minimum versions, and the compilers that are preferred."""
        self.minimum = minimum
        self.rustc_text = rustc_text
        self.clang_text = clang_text
        self.passed_over: list[str] = []
        self.versions: dict[str, str] = {}
        self._found: dict[str, Path | None] = {}
        # Each rustc and clang that would do if it were complete.
        self._incomplete: dict[str, list[Path]] = {"rustc": [], "llvm": []}

    def get(self, tool: str) -> Path | None:
        """Returns where ``tool`` is, or None."""
        if tool not in self._found:
            probe = PROBES.get(tool)
            self._found[tool] = probe(self) if probe else _which(tool)
        return self._found[tool]

    def missing(self, needed: Iterable[str], gcc_will_do: bool) -> set[str]:
        """Returns what of ``needed`` is not there."""
        missing = {tool for tool in needed if self.get(tool) is None}
        if "llvm" in missing and gcc_will_do and self.gcc():
            missing.remove("llvm")
        if "bindgen" in missing and cached_bindgen_possible(self):
            missing.remove("bindgen")
        return missing

    def toolchain(self, needed: Iterable[str]) -> Toolchain:
        """Returns what was found; builds bindgen if that is all that is left to do."""
        tools = {tool: path for tool in needed if (path := self.get(tool))}
        # Free to have once a rustc is known, and the kernel's makefiles name them.
        for tool in ("rustfmt", "clippy", "cargo"):
            if "rustc" in tools and (path := self.get(tool)):
                tools[tool] = path
        llvm = self.get("llvm")
        if "bindgen" in needed and "bindgen" not in tools:
            tools["bindgen"] = build_bindgen(tools["rustc"], tools["cargo"], llvm)
            self.versions["bindgen"] = f"bindgen {BINDGEN_VERSION}"
        return Toolchain(
            tools=tools,
            rustc_version=self.versions.get("rustc", ""),
            llvm_bin=llvm,
            passed_over=tuple(self.passed_over),
            versions=dict(self.versions),
        )

    def in_use(self) -> packages.InUse:
        """Returns the tools that fix the family of what is missing."""
        folder = self.get("llvm")
        rustc = self.get("rustc") or self._completable("rustc")
        clang = folder / "clang" if folder else self._completable("llvm")
        cc = _which("cc")
        python = Path(sys.executable).resolve()
        clang_text = self.clang_text or ""
        return packages.InUse(
            rustc=packages.Tool(rustc, first_line([str(rustc), "--version"])) if rustc else None,
            clang=packages.Tool(clang, first_line([str(clang), "--version"])) if clang else None,
            incomplete=frozenset(tool for tool in self._incomplete if not self.get(tool)),
            cc=packages.Tool(cc.resolve(), first_line([str(cc), "--version"])) if cc else None,
            python=packages.Tool(python, f"Python {platform.python_version()}"),
            kernel_rustc=self.rustc_text or "",
            kernel_clang=clang_text if "clang" in clang_text else "",
        )

    def _completable(self, tool: str) -> Path | None:
        """Returns an incomplete tool that packages can complete, as one of them brought it."""
        return next((path for path in self._incomplete[tool] if packages.owner_of(path)), None)

    def skip(self, path: Path, why: str) -> None:
        """Notes that a tool was passed over."""
        self.passed_over.append(f"{path}: {why}")

    def rustc(self) -> Path | None:
        """Returns the best rustc: one with everything before one that only compiles kernels."""
        fit: list[tuple[bool, bool, int, Path, str]] = []
        for rank, path in enumerate(_rustc_candidates()):
            text = first_line([str(path), "--version"])
            version = parse_version(text)
            if version < self.minimum["rustc"]:
                self.skip(path, f"{text or 'does not run'}; {dotted(self.minimum['rustc'])} needed")
            elif re.search(r"-(nightly|beta|dev)\b", text):
                self.skip(path, f"{text}: not a release")
            elif self.rustc_text != text and not rust_src(path):
                self.skip(
                    path,
                    f"{text}: lacks rust-src of its release, from which the kernel builds core",
                )
                self._incomplete["rustc"].append(path)
            else:
                complete = all(_beside(path, tool) for tool in ("rustfmt", "clippy", "cargo"))
                fit.append((self.rustc_text != text, not complete, rank, path, text))
        if not fit:
            return None
        *_, path, self.versions["rustc"] = min(fit)
        return path

    def beside_rustc(self, tool: str) -> Path | None:
        """Returns a tool of the same release as rustc."""
        rustc = self.get("rustc")
        return _beside(rustc, tool) if rustc else None

    def llvm(self) -> Path | None:
        """Returns the folder of the preferred LLVM, else of the one in PATH, else of the newest."""
        folders = dict.fromkeys(path.resolve().parent for path in _all_in_path("clang"))
        versioned = sorted(
            (USR / "lib").glob("llvm-*/bin"),
            key=lambda folder: parse_version(f"{folder.parent.name.removeprefix('llvm-')}.0"),
            reverse=True,
        )
        fit: list[tuple[bool, int, Path, str, str]] = []
        for folder in [*folders, *(f for f in versioned if f not in folders)]:
            if not (folder / "clang").exists():
                continue
            text = first_line([str(folder / "clang"), "--version"])
            linker = first_line([str(folder / "ld.lld"), "--version"])
            if parse_version(text) < self.minimum["llvm"]:
                self.skip(folder, f"{text}; {dotted(self.minimum['llvm'])} needed")
            elif absent := [tool for tool in LLVM_TOOLS if not (folder / tool).exists()]:
                self.skip(folder, f"{text}: without {' '.join(absent)}")
                self._incomplete["llvm"].append(folder / "clang")
            elif parse_version(linker)[:1] != parse_version(text)[:1]:
                self.skip(folder, f"{text}: its linker is of another release, {linker}")
            else:
                fit.append((self.clang_text != text, len(fit), folder, text, linker))
        if not fit:
            return None
        *_, folder, self.versions["clang"], self.versions["ld.lld"] = min(fit)
        return folder

    def libclang(self) -> Path | None:
        """Returns the folder of the library that bindgen parses C with.

        It must be that of the clang in use, if one is: a newer one knows other flags and warns.
        """
        llvm = self.get("llvm")
        if not llvm:
            folders = [*(USR / "lib").glob("llvm-*/lib"), *(USR / "lib").glob("*-linux-gnu")]
            folders += [USR / "lib64", USR / "lib"]
            return next((folder for folder in folders if _has_libclang(folder)), None)
        own = llvm.parent / "lib"
        # Only where folders are as in Debian's packages is it clear that the library is missing.
        return own if _has_libclang(own) or not llvm.match("lib/llvm-*/bin") else None

    def gcc(self) -> Path | None:
        """Returns a gcc that can build the plain lane."""
        path = _which("gcc")
        if path:
            text = first_line([str(path), "--version"])
            if parse_version(text) >= self.minimum["gcc"]:
                self.versions["gcc"] = text
                return path
            self.skip(path, f"{text}; {dotted(self.minimum['gcc'])} needed")
        return None

    def bindgen(self) -> Path | None:
        """Returns a bindgen that is new enough."""
        built = paths.cache() / f"tools/bindgen-{BINDGEN_VERSION}/bin/bindgen"
        for path in [*_all_in_path("bindgen"), built]:
            if not path.exists():
                continue
            text = first_line([str(path), "--version"])
            if parse_version(text) >= self.minimum["bindgen"]:
                self.versions["bindgen"] = text
                return path
            self.skip(path, f"{text or 'does not run'}; {dotted(self.minimum['bindgen'])} needed")
        return None

    def busybox(self) -> Path | None:
        """Returns a busybox that needs no libraries."""
        for path in _all_in_path("busybox"):
            if is_static(path):
                return path
            self.skip(path, "linked dynamically; the guest has no libraries")
        return None

    def sanitizers(self) -> Path | None:
        """Returns ThreadSanitizer's runtime: clang's, or the one that came with rustc."""
        rustc = self.get("rustc")
        llvm = self.get("llvm")
        places: list[Iterator[Path]] = []
        if rustc:
            libraries = sysroot(rustc) / "lib/rustlib/x86_64-unknown-linux-gnu/lib"
            places.append(libraries.glob("librustc-*_rt.tsan.a"))
        if llvm:
            places.append(llvm.parent.glob("lib/clang/*/lib/*/libclang_rt.tsan*.a"))
        return next((path for place in places for path in place), None)

    def library(self, name: str, *flags: str) -> Path | None:
        """Returns a static library that the linker uses with these flags, if both are there."""
        cc = _which("cc")
        if not cc:
            return None
        path = Path(first_line([str(cc), *flags, f"-print-file-name={name}"]))
        return path if path.is_absolute() and path.exists() else None


PROBES: Mapping[str, Callable[[Survey], Path | None]] = {
    "bindgen": Survey.bindgen,
    "busybox": Survey.busybox,
    "cargo": lambda survey: survey.beside_rustc("cargo"),
    "clippy": lambda survey: survey.beside_rustc("clippy"),
    "certificates": lambda _: _certificates(),
    "libssl": lambda _: _header("openssl/ssl.h"),
    "libclang": Survey.libclang,
    "libc": lambda survey: survey.library("libc.a"),
    "libc-32": lambda survey: survey.library("libc.a", "-m32"),
    "libelf": lambda _: _header("gelf.h"),
    "liburing": lambda survey: survey.library("liburing.a") if _header("liburing.h") else None,
    "llvm": Survey.llvm,
    "qemu": lambda _: _which("qemu-system-x86_64"),
    "rust-src": lambda survey: rust_src(rustc) if (rustc := survey.get("rustc")) else None,
    "rustc": Survey.rustc,
    "rustfmt": lambda survey: survey.beside_rustc("rustfmt"),
    "sanitizers": Survey.sanitizers,
    "venv": lambda _: _ensurepip(),
}


def cached_bindgen_possible(survey: Survey) -> bool:
    """Says whether all is there that building bindgen takes."""
    return survey.get("rustc") is not None and survey.get("cargo") is not None


def build_bindgen(rustc: Path, cargo: Path, llvm_bin: Path | None) -> Path:
    """Builds bindgen into the cache and returns it."""
    final = paths.cache() / f"tools/bindgen-{BINDGEN_VERSION}"
    log = paths.cache() / "logs/bindgen.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with paths.locked(final.with_suffix(".lock"), "building bindgen") as lock:
        if not final.exists():
            say(
                f"building bindgen {BINDGEN_VERSION}, since none here is new enough"
                f" (1 to 2 minutes; log: {log})"
            )
            with paths.atomic_dir(final) as root, log.open("w") as output:
                install = [
                    *(str(cargo), "install", "--locked", "--root", str(root)),
                    *("--target-dir", str(root / "target")),
                    *("--version", BINDGEN_VERSION, "bindgen-cli"),
                ]
                env = {**build_env(rustc.parent, llvm_bin), "RUSTC": str(rustc)}
                if command.run(install, env=env, log=output, lock=lock, what="bindgen"):
                    raise HostNotFit(f"bindgen did not build; the end of {log}:\n{tail(log)}")
                shutil.rmtree(root / "target")
    return final / "bin/bindgen"


def first_line(arguments: list[str]) -> str:
    """Returns the first line that a command prints; empty if it fails."""
    # A rustup in front of a tool must answer for what is there, never download.
    env = {**os.environ, "LC_ALL": "C", "RUSTUP_AUTO_INSTALL": "0"}
    try:
        run = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.partition("\n")[0].strip() if run.returncode == 0 else ""


def revision(tree: Path) -> str:
    """Returns the commit that a tree is at, and whether it is changed; empty without git."""
    return first_line(["git", "-C", str(tree), "describe", "--always", "--dirty"])


def is_static(path: Path) -> bool:
    """Says whether ``path`` is a 64-bit ELF program that asks for no dynamic loader."""
    with path.open("rb") as file:
        header = file.read(64)
        if not header.startswith(b"\x7fELF\x02"):
            return False
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(offset)
        table = file.read(size * count)
    pt_interp = 3
    return all(
        struct.unpack_from("<I", table, index * size)[0] != pt_interp for index in range(count)
    )


@remember
def sysroot(rustc: Path) -> Path:
    """Returns where ``rustc`` keeps its libraries."""
    return Path(first_line([str(rustc), "--print", "sysroot"]) or "/nonexistent")


def rust_src(rustc: Path) -> Path | None:
    """Returns the library source that belongs to ``rustc``, where the kernel looks for it."""
    library = sysroot(rustc) / "lib/rustlib/src/rust/library"
    if not (library / "core/src/lib.rs").exists():
        return None
    # Debian's link to it names the release, and may be newer than rustc.
    release = re.search(r"/rustc-(\d[\d.]*)/library$", str(library.resolve()))
    own = parse_version(first_line([str(rustc), "--version"]))
    return library if not release or parse_version(release[1]) == own else None


def _rustc_candidates() -> Iterator[Path]:
    """Yields each rustc of this machine once, those in PATH first."""
    seen: set[Path] = set()
    home = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
    for path in [
        *_all_in_path("rustc"),
        USR / "bin/rustc",
        *sorted((USR / "lib").glob("rust-*/bin/rustc"), reverse=True),
        *sorted(home.glob("toolchains/*/bin/rustc"), reverse=True),
    ]:
        if not path.exists():
            continue
        # What rustup puts into PATH is a switcher: ask for the compiler behind it.
        real = sysroot(path) / "bin/rustc"
        compiler = real if real.exists() else path
        if compiler.resolve() not in seen:
            seen.add(compiler.resolve())
            yield compiler


def _beside(rustc: Path, tool: str) -> Path | None:
    """Returns a tool in rustc's folder, if it is of the same release."""
    path = rustc.with_name("clippy-driver" if tool == "clippy" else tool)
    if not path.exists():
        return None
    if tool == "rustfmt":
        # Its versions are its own, but it runs on the library of one release's compiler.
        theirs, ours = _compiler_library(path), _compiler_library(rustc)
        return path if theirs == ours or not theirs or not ours else None
    # "cargo 1.96.0", and "clippy 0.1.96".
    minor = parse_version(first_line([str(rustc), "--version"]))[1:2]
    own = parse_version(first_line([str(path), "--version"]))
    return path if minor and minor == (own[2:3] if tool == "clippy" else own[1:2]) else None


def _compiler_library(program: Path) -> bytes:
    """Returns the name of the compiler's library that a program is linked with; empty if none."""
    match = re.search(rb"librustc_driver-[0-9a-f]+\.so", program.read_bytes())
    return match[0] if match else b""


def _all_in_path(name: str) -> list[Path]:
    folders = os.environ.get("PATH", os.defpath).split(":")
    found = (Path(folder) / name for folder in [*folders, "/usr/sbin", "/sbin"] if folder)
    return list(dict.fromkeys(path for path in found if os.access(path, os.X_OK)))


def _which(name: str) -> Path | None:
    return next(iter(_all_in_path(name)), None)


def _header(name: str) -> Path | None:
    path = USR / "include" / name
    return path if path.exists() else None


def _certificates() -> Path | None:
    """Returns the certificates by which downloads are checked."""
    named = os.environ.get("SSL_CERT_FILE")
    path = Path(named or "/etc/ssl/certs/ca-certificates.crt")
    return path if path.exists() else None


def _ensurepip() -> Path | None:
    """Returns this Python if it can make virtual environments with pip in them."""
    probe = subprocess.run(
        [sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False
    )
    return Path(sys.executable) if probe.returncode == 0 else None


def _has_libclang(folder: Path) -> bool:
    return any(folder.glob("libclang[.-]*so*"))
