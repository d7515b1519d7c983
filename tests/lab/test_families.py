# SPDX-License-Identifier: GPL-2.0
"""A package matches the tool in use, also where apt offers a newer one.

The machine of these tests has an older family of packages, which an earlier command installed.
apt's lists have been refreshed since.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import packages, toolchain
from lab.errors import HostNotFit
from lab.packages import InUse, NoMatch, Packages, Tool
from lab.toolchain import LLVM_TOOLS, MINIMUM, Survey, Toolchain
from lab.version import parse_version

OLD, NEW = "1.85.0-1~deb12u3", "1.96.0-1~deb12u2"
RUST = ("cargo-web", "rust-web-clippy", "rust-web-src", "rustc-web", "rustfmt-web")


def script(path: Path, text: str) -> Path:
    """Makes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Debian:
    """A machine: its files below ``usr``, and what apt and dpkg know."""

    def __init__(self, usr: Path) -> None:
        self.usr = usr
        # The versions on offer, the newest first.
        self.offers: dict[str, list[str]] = {}
        self.installed: dict[str, str] = {}
        self.owners: dict[Path, str] = {}
        # What apt-get was told.
        self.calls: list[tuple[str, ...]] = []

    def known(self) -> Packages:
        """Returns what `apt-cache policy` says, as the lab reads it."""
        text = ""
        for name in {**self.offers, **self.installed}:
            offers, installed = self.offers.get(name, []), self.installed.get(name)
            text += f"{name}:\n  Installed: {installed or '(none)'}\n"
            text += f"  Candidate: {[*offers, installed][0] or '(none)'}\n  Version table:\n"
            for version in offers:
                text += f" {'***' if version == installed else '   '} {version} 500\n"
                text += "        500 http://mirror suite/main amd64 Packages\n"
        return packages.parse_policy(text)

    def apt(self, *words: str) -> None:
        """Does what apt-get is told."""
        self.calls.append(words)
        for word in words[1:] if words[0] == "install" else ():
            if not word.startswith("-"):
                name, _, version = word.partition("=")
                before = self.installed.get(name)
                self.install(name, version or self.offers[name][0])
                downgrade = before and parse_version(before) > parse_version(self.installed[name])
                assert not downgrade or "--allow-downgrades" in words

    def install(self, name: str, version: str) -> None:
        """Puts a package's files into place."""
        assert version in (*self.offers.get(name, ()), self.installed.get(name)), name
        self.installed[name] = version
        release = ".".join(map(str, packages.upstream(version)))
        for pattern, place in FILES:
            if match := re.fullmatch(pattern, name):
                for file in place(self.usr, release, *match.groups()):
                    self.owners[file] = name


def rustc(usr: Path, release: str) -> list[Path]:
    """Installs a rustc, which is linked with the library of its release."""
    said = f'case "$1" in --version) echo "rustc {release}";; --print) echo "{usr}";; esac'
    return [script(usr / "bin/rustc", f"{said}\n# librustc_driver-{hash_of(release)}.so")]


def rust_src(usr: Path, release: str) -> list[Path]:
    """Installs the library's source, and the link to it."""
    source = usr / f"src/rustc-{release}/library/core/src/lib.rs"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.touch()
    link = usr / "lib/rustlib/src/rust"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(usr / f"src/rustc-{release}")
    return [source]


def rust_part(program: str, said: str) -> Callable[[Path, str], list[Path]]:
    """Installs a program that goes with rustc."""

    def put(usr: Path, release: str) -> list[Path]:
        text = f'echo "{said.format(release)}"\n# librustc_driver-{hash_of(release)}.so'
        return [script(usr / "bin" / program, text)]

    return put


def hash_of(release: str) -> str:
    """Returns what tells the compiler's library of a release from others."""
    return release.replace(".", "f")


def llvm(*programs: str) -> Callable[[Path, str, str], list[Path]]:
    """Installs programs of an LLVM."""

    def put(usr: Path, release: str, number: str) -> list[Path]:
        folder = usr / f"lib/llvm-{number}/bin"
        return [script(folder / name, f'echo "Debian {name} {release}"') for name in programs]

    return put


def library(place: str) -> Callable[[Path, str, str], list[Path]]:
    """Installs a library that belongs to a number."""

    def put(usr: Path, _release: str, number: str) -> list[Path]:
        file = usr / place.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return [file]

    return put


FILES: list[tuple[str, Callable[..., list[Path]]]] = [
    ("rustc-web", rustc),
    ("rust-web-src", rust_src),
    ("cargo-web", rust_part("cargo", "cargo {}")),
    ("rustfmt-web", rust_part("rustfmt", "rustfmt 1.8.0")),
    ("rust-web-clippy", lambda usr, release: rust_part("clippy-driver", "clippy 0.{}")(
        usr, release.removesuffix(".0"))),
    (r"clang-(\d+)", llvm("clang")),
    (r"lld-(\d+)", llvm("ld.lld")),
    (r"llvm-(\d+)", llvm(*(tool for tool in LLVM_TOOLS if tool.startswith("llvm-")))),
    (r"libclang1-(\d+)", library("lib/llvm-{0}/lib/libclang-{0}.so.1")),
    (r"libclang-rt-(\d+)-dev",
     library("lib/llvm-{0}/lib/clang/{0}/lib/linux/libclang_rt.tsan-x86_64.a")),
    (r"gcc-(\d+)-multilib", library("lib/gcc/{0}/32/libc.a")),
    ("gcc-multilib", lambda usr, release: library("lib/gcc/{0}/32/libc.a")(
        usr, release, release.partition(".")[0])),
]  # fmt: skip


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    """A machine on which nothing is installed."""
    machine = Debian(tmp_path / "usr")
    for name in RUST:
        machine.offers[name] = [NEW, OLD]
    for number, version in (("22", "1:22.1.8-1"), ("19", "1:19.1.7-3"), ("16", "1:16.0.6-15")):
        for name in ("clang-{}", "lld-{}", "llvm-{}", "libclang1-{}", "libclang-rt-{}-dev"):
            machine.offers[name.format(number)] = [version]
    monkeypatch.setattr(toolchain, "USR", machine.usr)
    monkeypatch.setattr(
        toolchain,
        "_all_in_path",
        lambda name: [path for path in [machine.usr / "bin" / name] if path.exists()],
    )
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path / "no-rustup"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KDIR", raising=False)
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    monkeypatch.setattr(packages, "may_install", lambda: True)
    monkeypatch.setattr(Packages, "known", machine.known)
    monkeypatch.setattr(packages, "owner_of", lambda path: machine.owners.get(path, ""))
    monkeypatch.setattr(packages, "_run_apt", machine.apt)
    return machine


def find(monkeypatch: pytest.MonkeyPatch, *tools: str) -> Toolchain:
    """Has the lab find tools, and install what is missing."""
    monkeypatch.setattr(toolchain, "WANTS", {"this": tools})
    return toolchain.find(want={"this"})


def with_rust(debian: Debian, *parts: str, version: str = OLD) -> None:
    """Installs a rustc with its source, and more of its family."""
    for name in ("rustc-web", "rust-web-src", *parts):
        debian.install(name, version)


def with_llvm(debian: Debian, number: str = "19") -> None:
    """Installs an LLVM, as clang's package depends on libclang."""
    for name in ("clang", "lld", "llvm", "libclang1"):
        debian.install(f"{name}-{number}", debian.offers[f"{name}-{number}"][0])


@pytest.mark.parametrize(
    ("tool", "package"),
    [("cargo", "cargo-web"), ("rustfmt", "rustfmt-web"), ("clippy", "rust-web-clippy")],
)
def test_a_part_of_rust_is_of_the_release_of_rustc(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    with_rust(debian)
    tools = find(monkeypatch, "rustc", tool)
    [call] = debian.calls
    assert call[-1] == f"{package}={OLD}"
    assert tools.rustc_version == "rustc 1.85.0"
    assert tools.tool(tool).parent == tools.rustc.parent
    assert debian.installed["rustc-web"] == OLD


def test_the_source_is_of_the_release_of_a_rustc_that_lacks_it(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rustc-web", "cargo-web"):
        debian.install(name, OLD)
    tools = find(monkeypatch, "rustc", "cargo", "rust-src")
    assert f"rust-web-src={OLD}" in debian.calls[0]
    assert tools.rustc_version == "rustc 1.85.0"
    assert tools.tool("rust-src").resolve() == debian.usr / "src/rustc-1.85.0/library"


def test_a_source_and_a_rustfmt_of_another_release_are_replaced(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian)
    debian.install("rust-web-src", NEW)
    debian.install("rustfmt-web", NEW)
    survey = Survey(MINIMUM)
    assert survey.get("rustc") is None
    assert "lacks rust-src of its release" in survey.passed_over[0]
    find(monkeypatch, "rustc", "rust-src", "rustfmt")
    assert debian.installed["rust-web-src"] == OLD
    assert debian.installed["rustfmt-web"] == OLD


def test_a_revision_of_the_same_release_matches(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian)
    debian.offers["rustfmt-web"] = [NEW, "1.85.0-1~deb12u4"]
    find(monkeypatch, "rustc", "rustfmt")
    assert debian.calls[0][-1] == "rustfmt-web=1.85.0-1~deb12u4"


def test_the_version_is_left_out_where_it_is_what_apt_would_install(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian, version=NEW)
    find(monkeypatch, "rustc", "rustfmt")
    assert debian.calls[0][-1] == "rustfmt-web"


def test_without_a_match_for_rustc_the_family_moves_together_or_not_at_all(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian, "cargo-web")
    for name in RUST:
        debian.offers[name] = [NEW]
    with pytest.raises(NoMatch) as caught:
        find(monkeypatch, "rustc", "rustfmt", "clippy")
    said = str(caught.value)
    assert f"{debian.usr}/bin/rustc (rustc 1.85.0)" in said
    assert f"rustc-web {OLD}" in said
    assert f"rustfmt-web {NEW}" in said
    fix = said.splitlines()[-1].split()
    assert debian.calls == [("update",)]
    # The command that it names does mend it.
    debian.apt(*fix[fix.index("install") :])
    assert find(monkeypatch, "rustc", "rustfmt", "clippy").rustc_version == "rustc 1.96.0"
    assert {debian.installed[name] for name in RUST} == {NEW}


def test_a_rustc_without_its_source_is_no_reason_to_fail_without_a_match(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rustc-web", "cargo-web"):
        debian.install(name, OLD)
    for name in RUST:
        debian.offers[name] = [NEW]
    assert find(monkeypatch, "rustc", "cargo", "rust-src").rustc_version == "rustc 1.96.0"
    assert debian.installed["cargo-web"] == NEW


def test_a_rustc_of_rustup_is_completed_by_rustup(debian: Debian) -> None:
    place = Path("/home/user/.rustup/toolchains/stable-x86_64/bin/rustc")
    with pytest.raises(NoMatch) as caught:
        debian.known().choose({"clippy", "rustfmt"}, MINIMUM, InUse(Tool(place, "rustc 1.95.0")))
    assert f"{place} (rustc 1.95.0)" in str(caught.value)
    assert str(caught.value).splitlines()[-1].strip() == (
        "rustup component add --toolchain stable-x86_64 clippy rustfmt"
    )


def test_next_to_a_rustc_of_no_package_a_whole_family_is_named(debian: Debian) -> None:
    with pytest.raises(NoMatch) as caught:
        debian.known().choose({"cargo"}, MINIMUM, InUse(Tool(Path("/opt/rustc"), "rustc 1.95.0")))
    for word in ("/opt/rustc (rustc 1.95.0)", "cargo", "No package", *RUST):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("tool", "package"),
    [("sanitizers", "libclang-rt-19-dev"), ("libclang", "libclang1-19")],
)
def test_a_library_of_llvm_is_of_the_release_of_clang(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    with_llvm(debian)
    (debian.usr / "lib/llvm-19/lib/libclang-19.so.1").unlink()
    # Those of another release are of no use.
    debian.install("libclang1-22", "1:22.1.8-1")
    debian.install("libclang-rt-22-dev", "1:22.1.8-1")
    tools = find(monkeypatch, "llvm", tool)
    assert [call[-1] for call in debian.calls] == [package]
    assert tools.llvm_bin == debian.usr / "lib/llvm-19/bin"
    assert tools.tool(tool).is_relative_to(debian.usr / "lib/llvm-19")


def test_a_later_version_of_the_same_llvm_matches(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_llvm(debian)
    debian.offers["libclang-rt-19-dev"] = ["1:19.1.8-1"]
    find(monkeypatch, "llvm", "sanitizers")
    assert debian.calls[0][-1] == "libclang-rt-19-dev"
    debian.offers["libclang-rt-19-dev"] = ["1:19.1.8-1", "1:19.1.7-3"]
    assert debian.known().choose({"sanitizers"}, MINIMUM, Survey(MINIMUM).in_use()) == [
        "libclang-rt-19-dev=1:19.1.7-3"
    ]


def test_another_patch_release_of_rust_does_not_match(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian)
    debian.offers["rustfmt-web"] = ["1.85.1-1"]
    with pytest.raises(NoMatch):
        find(monkeypatch, "rustc", "rustfmt")


@pytest.mark.parametrize("absent", ["lld-19", "llvm-19"])
def test_the_linker_and_the_tools_are_of_the_release_of_clang(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    for name in {"clang-19", "lld-19", "llvm-19"} - {absent}:
        debian.install(name, "1:19.1.7-3")
    tools = find(monkeypatch, "llvm", "sanitizers")
    assert {"lld-19", "llvm-19", "libclang-rt-19-dev"} <= {*debian.calls[0]}
    assert tools.llvm_bin == debian.usr / "lib/llvm-19/bin"
    assert not any("22" in name for name in debian.installed)


def test_the_clang_of_a_kernel_is_preferred_to_a_newer_one(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in ("19", "22"):
        with_llvm(debian, number)
    assert find(monkeypatch, "llvm").llvm_bin == debian.usr / "lib/llvm-22/bin"
    (tmp_path / ".config").write_text('CONFIG_CC_VERSION_TEXT="Debian clang 19.1.7"\n')
    tools = toolchain.find(want={"this"}, kdir=tmp_path)
    assert tools.llvm_bin == debian.usr / "lib/llvm-19/bin"
    assert tools.versions["clang"] == "Debian clang 19.1.7"


def test_an_old_clang_is_not_completed(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    debian.install("clang-16", "1:16.0.6-15")
    assert find(monkeypatch, "llvm").llvm_bin == debian.usr / "lib/llvm-22/bin"


def test_a_linker_of_another_release_than_clang_is_passed_over(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_llvm(debian)
    llvm("ld.lld")(debian.usr, "22.1.8", "19")
    assert find(monkeypatch, "llvm").llvm_bin == debian.usr / "lib/llvm-22/bin"
    survey = Survey(MINIMUM)
    (debian.usr / "lib/llvm-22/bin/clang").unlink()
    assert survey.get("llvm") is None
    assert "its linker is of another release, Debian ld.lld 22.1.8" in survey.passed_over[0]


def test_without_a_match_for_clang_another_llvm_is_named_as_a_whole(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_llvm(debian)
    del debian.offers["libclang-rt-19-dev"]
    with pytest.raises(NoMatch) as caught:
        find(monkeypatch, "llvm", "sanitizers")
    said = str(caught.value)
    assert f"{debian.usr}/lib/llvm-19/bin/clang (Debian clang 19.1.7)" in said
    assert "clang-19 1:19.1.7-3, and apt offers no libclang-rt-19-dev" in said
    install, path = said.splitlines()[-2:]
    fix = install.split()
    debian.apt(*fix[fix.index("install") :])
    assert "/usr/lib/llvm-22/bin:$PATH" in path
    assert find(monkeypatch, "llvm", "sanitizers").llvm_bin == debian.usr / "lib/llvm-22/bin"


def test_the_32_bit_libraries_are_of_the_release_of_gcc(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.offers |= {"gcc-multilib": ["4:15.2.0-1"], "gcc-14-multilib": ["14.2.0-19"]}
    file = debian.usr / "lib/gcc/14/32/libc.a"
    script(debian.usr / "bin/x86_64-linux-gnu-gcc-14", f"[ -e {file} ] && echo {file}")
    (debian.usr / "bin/cc").symlink_to("x86_64-linux-gnu-gcc-14")
    assert find(monkeypatch, "libc-32").tool("libc-32") == file
    assert debian.calls[0][-1] == "gcc-14-multilib"


def test_without_32_bit_libraries_of_the_gcc_in_use_nothing_is_installed(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.offers |= {"gcc-multilib": ["4:14.2.0-1"], "gcc-14-multilib": ["14.2.0-19"]}
    gcc = script(debian.usr / "bin/x86_64-linux-gnu-gcc-13", "echo gcc 13.3.0")
    (debian.usr / "bin/cc").symlink_to(gcc)
    with pytest.raises(NoMatch) as caught:
        find(monkeypatch, "libc-32")
    said = str(caught.value)
    assert f"{gcc} (gcc 13.3.0)" in said
    assert "apt offers gcc-14-multilib 14.2.0-19, gcc-multilib 4:14.2.0-1." in said
    assert debian.calls == [("update",)]
    # The default one may be of the same release.
    debian.offers = {"gcc-multilib": ["4:13.3.0-1"]}
    assert debian.known().choose({"libc-32"}, MINIMUM, Survey(MINIMUM).in_use()) == ["gcc-multilib"]


@pytest.mark.parametrize(
    ("program", "owner", "package"),
    [
        ("/usr/bin/python3.13", "python3.13-minimal", "python3.13-venv"),
        ("/usr/bin/python3.14", "python3.14-minimal", "python3-venv"),
        ("/usr/bin/python3.12", "python3.12-minimal", None),
        ("/usr/bin/python3.1", "python3.1-minimal", None),
        ("/usr/local/bin/python3.13", "", None),
    ],
)
def test_what_makes_virtual_environments_is_of_the_python_in_use(
    debian: Debian, program: str, owner: str, package: str | None
) -> None:
    known = Packages({"python3-venv": "3.14.1-1", "python3.13-venv": "3.13.5-2"})
    python = Tool(Path(program), "Python 3.x")
    debian.owners[python.path] = owner
    if package:
        assert known.choose({"venv"}, MINIMUM, InUse(python=python)) == [package]
        return
    with pytest.raises(NoMatch) as caught:
        known.choose({"venv"}, MINIMUM, InUse(python=python))
    said = str(caught.value)
    assert f"{program} (Python 3.x)" in said
    assert "apt offers python3-venv 3.14.1-1, python3.13-venv 3.13.5-2." in said
    assert ("no package brought it" in said) == (not owner)


def kernel_of(tree: Path, rustc: str = "", cc: str = "") -> Path:
    """Makes a tree of a kernel that these have built."""
    said = f'CONFIG_RUSTC_VERSION_TEXT="{rustc}"\nCONFIG_CC_VERSION_TEXT="{cc}"\n'
    (tree / ".config").write_text(said)
    return tree


def test_the_rustc_of_a_kernel_is_installed_in_place_of_the_newest(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KDIR", str(kernel_of(tmp_path, rustc="rustc 1.85.0")))
    assert find(monkeypatch, "rustc", "rustfmt").rustc_version == "rustc 1.85.0"
    assert debian.installed == dict.fromkeys(("rustc-web", "rust-web-src", "rustfmt-web"), OLD)


def test_without_the_rustc_of_a_kernel_none_is_installed(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KDIR", str(kernel_of(tmp_path, rustc="rustc 1.90.0")))
    with pytest.raises(NoMatch) as caught:
        find(monkeypatch, "rustc")
    assert "built by rustc 1.90.0," in str(caught.value)
    assert f"apt offers rustc-web {NEW} and {OLD}." in str(caught.value)
    assert debian.installed == {}


@pytest.mark.parametrize(
    ("cc", "number"),
    [
        ("Debian clang version 19.1.7 (3)", "19"),
        ("Debian clang version 18.1.8", "22"),
        ("gcc (Debian 19.1.0-1) 19.1.0", "22"),
    ],
)
def test_the_clang_of_a_kernel_is_installed_if_it_is_on_offer(
    debian: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cc: str, number: str
) -> None:
    monkeypatch.setenv("KDIR", str(kernel_of(tmp_path, cc=cc)))
    tools = find(monkeypatch, "llvm", "sanitizers")
    assert tools.llvm_bin == debian.usr / f"lib/llvm-{number}/bin"
    assert {re.sub(r"\D*(\d\d)\D*", r"\1", name) for name in debian.installed} == {number}


def test_the_default_bindgen_is_taken_if_it_is_new_enough(debian: Debian) -> None:
    with_llvm(debian)
    debian.offers |= {"bindgen-0.73": ["0.73.1-1"], "bindgen": ["0.71.1-4"]}
    in_use = Survey(MINIMUM).in_use()
    assert debian.known().choose({"bindgen"}, MINIMUM, in_use) == ["bindgen"]
    debian.offers["bindgen"] = ["0.66.1-4"]
    assert debian.known().choose({"bindgen"}, MINIMUM, in_use) == ["bindgen-0.73"]


def test_bindgen_loads_the_libclang_of_the_clang_in_use(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_llvm(debian)
    tools = find(monkeypatch, "llvm", "libclang")
    # A newer one that comes later does not change that.
    debian.install("libclang1-22", "1:22.1.8-1")
    assert tools.env()["LIBCLANG_PATH"] == str(debian.usr / "lib/llvm-19/lib")


def test_a_bindgen_that_cargo_builds_needs_the_cargo_of_rustc(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian)
    debian.offers |= {name: ["1-1"] for name in ("bindgen", "ca-certificates", "gcc", "libc6-dev")}
    built = debian.usr / "built-bindgen"
    monkeypatch.setattr(toolchain, "build_bindgen", lambda *_: built)
    tools = find(monkeypatch, "rustc", "bindgen")
    assert f"cargo-web={OLD}" in debian.calls[0]
    assert tools.bindgen == built
    assert tools.cargo == debian.usr / "bin/cargo"


def test_lists_that_are_old_are_refreshed_before_a_match_is_given_up(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_llvm(debian)
    offers = debian.offers.pop("libclang-rt-19-dev")
    apt = debian.apt

    def refresh(*words: str) -> None:
        if words == ("update",):
            debian.offers["libclang-rt-19-dev"] = offers
        apt(*words)

    monkeypatch.setattr(packages, "_run_apt", refresh)
    find(monkeypatch, "llvm", "sanitizers")
    assert [call[0] for call in debian.calls] == ["update", "install"]


def test_what_may_not_be_installed_is_named_with_its_version(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rust(debian)
    monkeypatch.setattr(packages, "may_install", lambda: False)
    with pytest.raises(HostNotFit) as caught:
        find(monkeypatch, "rustc", "rustfmt")
    assert f"rustfmt-web={OLD}" in str(caught.value)
    debian.offers["rustfmt-web"] = [NEW]
    with pytest.raises(NoMatch, match=r"\n    .*apt-get update$"):
        find(monkeypatch, "rustc", "rustfmt")
    assert debian.calls == []
