# SPDX-License-Identifier: GPL-2.0
"""Builds modules: for the lab's guests beside the tree, for a user's kernel in the tree."""

import hashlib
import os
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import command, paths
from lab.clean import PRODUCT
from lab.errors import HostNotFit, LabError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

# What of the repository kbuild reads.
SOURCES = ("Kbuild", "include", "src")

# The same driver in C.
TWIN = paths.ROOT / "tests/peers/twin"

# How kbuild has compiled the module, in the file that it keeps beside the object.
_COMMAND = re.compile(r"^savedcmd_\S+ := (.+?)(?: ; .*)?$", re.MULTILINE)

# What of that only rustc knows, and rustdoc does not.
_RUSTC_ONLY = ("--crate-type", "-Zbinary_dep_depinfo")


@dataclass(frozen=True)
class Compiler:
    """The call that compiles the module."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path


def _sources() -> list[Path]:
    return [path for name in SOURCES if (path := paths.ROOT / name).exists()]


def build(kernel: Kernel, tc: Toolchain, *, kunit: bool, coverage: bool = False) -> Path:
    """Builds ringdev.ko for a guest and returns its folder.

    With ``coverage`` each basic block reports to KCOV, which the kernel must have.
    """
    flavour, flags = _flavour(kunit=kunit, coverage=coverage)
    return _build(paths.ROOT, _sources(), f"ringdev-{flavour}", kernel, tc, flags=flags)


def build_copy(
    root: Path, kernel: Kernel, tc: Toolchain, *, kunit: bool, coverage: bool = False
) -> Path:
    """Builds ringdev.ko of a copy of the tree and returns its folder."""
    flavour, flags = _flavour(kunit=kunit, coverage=coverage)
    sources = [root / name for name in SOURCES]
    return _build(root, sources, f"copy-{flavour}", kernel, tc, flags=flags)


def _flavour(*, kunit: bool, coverage: bool) -> tuple[str, list[str]]:
    """Returns the name and the flags of a way to build the module."""
    name, flags = ("kunit", ["RINGDEV_KUNIT=1"]) if kunit else ("plain", [])
    return (f"{name}-kcov", [*flags, "RINGDEV_KCOV=1"]) if coverage else (name, flags)


def lint(kernel: Kernel, tc: Toolchain, *, kunit: bool) -> None:
    """Builds the module through clippy; a warning of any compiler fails."""
    flags = ["RINGDEV_KUNIT=1"] if kunit else []
    name = f"clippy-{'kunit' if kunit else 'plain'}"
    _lint(paths.ROOT, _sources(), name, kernel, tc, flags=flags)


def lint_external(folder: Path, kernel: Kernel, tc: Toolchain, *, flags: Sequence[str]) -> None:
    """Builds the modules of another folder so."""
    _lint(folder, sorted(folder.iterdir()), f"clippy-{folder.name}", kernel, tc, flags=flags)


def _lint(
    folder: Path,
    sources: Sequence[Path],
    name: str,
    kernel: Kernel,
    tc: Toolchain,
    *,
    flags: Sequence[str],
) -> None:
    strict = ["CLIPPY=1", "KRUSTFLAGS=-Dwarnings", "KCFLAGS=-Werror", *flags]
    # What is up to date is not compiled, and says nothing: begin anew each time.
    out = _build(folder, sources, name, kernel, tc, flags=strict, anew=True)
    if warnings := _warnings(out):
        raise LabError("\n".join(warnings))


def compiler(kernel: Kernel, tc: Toolchain) -> Compiler:
    """Builds the module and returns how kbuild has called rustc for it."""
    out = build(kernel, tc, kunit=False)
    match = _COMMAND.search((out / "src/.ringdev_main.o.cmd").read_text())
    if not match:
        raise LabError("kbuild has not said how it compiled the module")
    words, env = command_of(match[1])
    # What kbuild exports besides.
    exported = {"RUSTC_BOOTSTRAP": "1", "RINGDEV_UAPI": str(out / "src/uapi_generated.rs")}
    return Compiler(tuple(words), {**tc.env(), **exported, **env}, out)


def command_of(saved: str) -> tuple[list[str], dict[str, str]]:
    """Takes a saved command apart: what is called, but for the source and what comes of it."""
    words = shlex.split(saved)
    env: dict[str, str] = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    out_dir = words.index("--out-dir")
    del words[out_dir : out_dir + 2]
    return [word for word in words[:-1] if not word.startswith("--emit=")], env


def rustdoc_flags(words: Sequence[str]) -> list[str]:
    """Returns the flags of a call of rustc as rustdoc takes them."""
    flags: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith(_RUSTC_ONLY):
            flags.append(word)
        elif word == "--crate-type":
            next(rest)
    return flags


def document(kernel: Kernel, tc: Toolchain, out: Path) -> None:
    """Writes what rustdoc makes of the module into ``out``; a warning fails.

    kbuild has no target for that of a module outside of the tree, so rustdoc gets the flags that
    rustc got. A module has no API, so what is documented is what it is made of.
    """
    call = compiler(kernel, tc)
    run = subprocess.run(
        [
            *(str(tc.rustdoc), *rustdoc_flags(call.words), "--crate-name=ringdev"),
            *("--document-private-items", "-Arustdoc::private_intra_doc_links", "-Dwarnings"),
            *("-Zunstable-options", "--generate-link-to-definition", f"--output={out}"),
            str(call.folder.parent / "in/src/ringdev_main.rs"),
        ],
        cwd=call.folder,
        env=call.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        said = run.stdout.replace(str(call.folder.parent / "in"), str(paths.ROOT))
        raise LabError(f"rustdoc (module):\n{said.rstrip()}")


def build_external(
    folder: Path, kernel: Kernel, tc: Toolchain, *, flags: Sequence[str] = ()
) -> Path:
    """Builds the modules of another folder, and returns where their .ko files are."""
    folder = folder.resolve()
    # Somebody's own folder may be a repository.
    sources = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return _build(folder, sources, folder.name, kernel, tc, flags=flags)


def text_size(file: Path, tc: Toolchain) -> int:
    """Returns how many bytes of a module are code and constants."""
    size = str(tc.llvm_bin / "llvm-size") if tc.llvm_bin else "size"
    listing = subprocess.run(
        [size, "--format=berkeley", str(file)],
        env=tc.env(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(listing.splitlines()[1].split()[0])


def seconds(kernel: Kernel, tc: Toolchain) -> float:
    """Returns how long processors take to build ringdev.ko from nothing."""
    return _seconds(paths.ROOT, _sources(), kernel, tc)


def seconds_external(folder: Path, kernel: Kernel, tc: Toolchain) -> float:
    """Returns how long processors take to build the ringdev.ko of another folder from nothing."""
    return _seconds(folder, sorted(folder.iterdir()), kernel, tc)


def _seconds(folder: Path, sources: Sequence[Path], kernel: Kernel, tc: Toolchain) -> float:
    # Not the time that passes, which is longer the busier the host is.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    name = f"timed-{folder.name}"
    _build(folder, sources, name, kernel, tc, target="ringdev.ko", anew=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def build_patched(patch: Path, kernel: Kernel, tc: Toolchain) -> Path:
    """Builds ringdev.ko of sources to which a patch was applied, and returns its folder."""
    sources = _patched(patch)
    return _build(sources, sorted(sources.iterdir()), f"ringdev-{patch.stem}", kernel, tc)


def _patched(patch: Path) -> Path:
    """Copies the sources and applies a patch to them, unless that was done before."""
    home = paths.cache() / "patched" / f"{patch.stem}-{paths.clone_id()}"
    home.mkdir(parents=True, exist_ok=True)
    with paths.locked(home / "lock", f"patching for {patch.stem}"):
        tree, state = home / "tree", home / "state"
        made_from = f"{source_hash(paths.ROOT)} {hashlib.sha256(patch.read_bytes()).hexdigest()}"
        if state.exists() and state.read_text() == made_from:
            return tree
        state.unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        for source in _sources():
            for file, target in _placed(source, tree / source.name):
                shutil.copy2(file, target)
        run = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(patch)],
            cwd=tree,
            # Were the cache inside of a repository, git would look for the files there.
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise LabError(f"{patch.name} has to be made anew, it does not apply: {run.stderr}")
        state.write_text(made_from)
    return tree


def build_mistaken(
    mistakes: Sequence[str], kernel: Kernel, tc: Toolchain
) -> tuple[Path, list[str]]:
    """Builds the twin with mistakes in it; returns the file, and what compilers have warned of.

    They warn of more than by default, as mistakes are what is looked for.
    """
    flags = [f"KCFLAGS={' '.join(f'-DMISTAKE_{name}' for name in mistakes)}", "W=1"]
    sources = sorted(TWIN.iterdir())
    out = _build(TWIN, sources, "twin-mistaken", kernel, tc, flags=flags, anew=True)
    return out / "ringdev.ko", _warnings(out)


def _warnings(out: Path) -> list[str]:
    """Returns the warnings of a build."""
    said = (out.parent / "build.log").read_text(errors="replace")
    return re.findall(r"^.*\bwarning:.*$", said, re.MULTILINE | re.IGNORECASE)


def _build(
    folder: Path,
    sources: Sequence[Path],
    name: str,
    kernel: Kernel,
    tc: Toolchain,
    *,
    flags: Sequence[str] = (),
    target: str = "modules",
    anew: bool = False,
) -> Path:
    """Builds modules in the cache, where each kernel and each flavour has a place of its own.

    kbuild refuses to build elsewhere what somebody has built in its own folder as well, so it
    gets a folder of links to the sources and nothing else.
    """
    refuse_awkward_paths(folder)
    clone = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    home = paths.cache() / "modules" / kernel.key / f"{name}-{clone}"
    home.mkdir(parents=True, exist_ok=True)
    with paths.locked(home / "lock", f"building {name}") as lock:
        links, out, log = home / "in", home / "out", home / "build.log"
        shutil.rmtree(links, ignore_errors=True)
        # A build that was cut short may have gone on without us, and have compiled a source before
        # it was changed back: what is newer than its source then is not of that source.
        unfinished = home / "unfinished"
        if anew or unfinished.exists():
            shutil.rmtree(out, ignore_errors=True)
        unfinished.touch()
        for source in sources:
            link_sources(source, links / source.name)
        make = kernel.make(
            tc, f"-j{len(os.sched_getaffinity(0))}", f"M={links}", f"MO={out}", *flags, target
        )
        if kernel.root:
            make = kernel.root.command(home, (folder, kernel.src, kernel.build), make)
        with log.open("w") as output:
            code = command.run(make, env=tc.env(), log=output, lock=lock)
        unfinished.unlink()
        if code:
            said = log.read_text(errors="replace").rstrip().replace(str(links), str(folder))
            raise LabError(f"{name} does not build for the {kernel.lane} kernel:\n{said}")
    return out


def link_sources(source: Path, link: Path) -> None:
    """Makes ``link`` stand for a source file, or a folder of such links for a folder."""
    for file, target in _placed(source, link):
        target.symlink_to(file)


def _placed(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yields each file of a source, and where below ``target`` it belongs; that folder is there."""
    for file in _files(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        yield file, place


def _files(source: Path) -> Iterator[Path]:
    """Yields a source file, or those of a folder in order, but for what was built there."""
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    return (file for file in found if not file.is_dir() and not PRODUCT.fullmatch(file.name))


def source_hash(root: Path) -> str:
    """Returns one hash of all that the module is built from."""
    digest = hashlib.sha256()
    for name in SOURCES:
        for file in _files(root / name):
            if file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


def refuse_awkward_paths(folder: Path) -> None:
    """Says so where kbuild cannot work."""
    for path in (folder, paths.cache()):
        if any(character in str(path) for character in " \t:%"):
            raise HostNotFit(
                f"kbuild cannot work in '{path}': the path of the sources and of the"
                " cache must be without blanks, colons and per cent signs"
            )
