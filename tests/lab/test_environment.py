# SPDX-License-Identifier: GPL-2.0
"""The lab's environment is the same for all users: what stays of theirs, and what does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import habits
import pytest
from test_in_tree import FILES

from lab import (
    environment,
    gdb,
    install,
    lint,
    mutant_tree,
    paths,
    pytools,
    release,
    toolchain,
)
from lab.errors import LabError
from lab.toolchain import Toolchain

LAB = paths.ROOT / "scripts/lab.sh"

# What differs between users, and may: where things are, and the kind of terminal.
PLACES = {"CARGO_HOME", "HOME", "RUSTUP_HOME", "TERM", "XDG_CONFIG_HOME"}


def program(path: Path, text: str) -> Path:
    """Makes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def patches(folder: Path, user: dict[str, str], umask: int) -> tuple[list[str], dict[str, str]]:
    """Has a user write the series for a kernel tree; returns it, and what git saw."""
    names = ("tree", "out", "tools", "seen", "started")
    tree, out, tools, seen, started = (folder / name for name in names)
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    git = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout
    program(tools / "git", f'{{ echo "umask=$(umask)"; env; }} >{seen}\nexec {git.strip()} "$@"')
    # Not that of a virtual environment, which does without what the user has installed.
    python = Path(sys.executable).resolve()
    program(tools / "python3", f'env >{started}\nexec {python} "$@"')
    env = {**user, "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(
        ["sh", LAB, "in-tree", tree, "--out", out], env=env, umask=umask, check=True, cwd=folder
    )
    assert seen.stat().st_mode & 0o777 == 0o644
    python_saw = variables(started)
    assert python_saw["LC_ALL"] == "C.UTF-8"
    assert {name for name in python_saw if name.startswith("PYTHON")} == {"PYTHONNOUSERSITE"}
    # Without the hash of the commit, and when it was made.
    made = [
        re.sub(r"^(?:From [0-9a-f]{40}|Date:) .*\n", "", file.read_text(), flags=re.MULTILINE)
        for file in sorted(out.glob("*.patch"))
    ]
    return made, variables(seen)


def variables(file: Path) -> dict[str, str]:
    """Reads what env(1) has written."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)


def test_all_users_get_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / "plain", tmp_path / "habits"]
    for folder in folders:
        folder.mkdir()
    plain = patches(folders[0], {"HOME": str(tmp_path)}, 0o022)
    user = habits.variables(folders[1])
    site = f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (Path(user["HOME"]) / site).mkdir(parents=True)
    (Path(user["HOME"]) / site / "usercustomize.py").write_text("raise SystemExit(96)\n")
    (Path(user["HOME"]) / ".gitconfig").write_text(habits.GITCONFIG.format(home=folders[1]))
    other = patches(folders[1], user, habits.UMASK)
    assert len(plain[0]) == 5
    assert other[0] == plain[0]
    for seen in (plain[1], other[1]):
        for name in (*PLACES, "PATH", "OLDPWD", "PWD"):
            seen.pop(name, None)
    assert other[1] == plain[1]
    assert environment.FIXED.items() <= plain[1].items()


def test_the_lab_reads_no_variable_that_is_taken_away() -> None:
    read = {
        name
        for file in (paths.ROOT / "scripts/lab").glob("*.py")
        for name in re.findall(
            r"(?:environ(?:\.get\(|\[)|is_on\(|env_path\()\"(\w+)\"", file.read_text()
        )
    }
    assert {"LANE", "TWIN", "KDIR", "CERT", "TERM"} <= read
    for name in {*read, *install.KBUILD} - environment.FIXED.keys():
        assert environment.is_own(name) or environment.KEPT.fullmatch(name), name


def test_what_the_user_asks_of_the_lab_reaches_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANE", "KERNEL", "INSTALL_MOD_STRIP", "CERT", "RECORD"):
        assert environment.is_own(name)
        monkeypatch.setenv(name, "x")
        assert name not in environment.neutral()
    for name in ("V", "LANES", "SED", "PYTHONHOME"):
        assert not environment.is_own(name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("https_proxy", True),
        ("NO_PROXY", True),
        ("SSL_CERT_FILE", True),
        ("REQUESTS_CA_BUNDLE", True),
        ("PIP_INDEX_URL", True),
        ("PIP_USER", False),
        ("CARGO_REGISTRIES_MIRROR_INDEX", True),
        ("CARGO_HOME", True),
        ("CARGO_TARGET_DIR", False),
        ("RUSTUP_HOME", True),
        ("RUSTUP_TOOLCHAIN", False),
        ("APT_CONFIG", True),
        ("GIT_DIR", False),
        ("LC_CTYPE", False),
    ],
)
def test_networks_and_places_are_the_users_own(name: str, kept: bool) -> None:
    assert bool(environment.KEPT.fullmatch(name)) is kept


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file, in place of the lab's own."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "file").write_text("one\ntwo\n")
    (folder / ".gitattributes").write_text("* text=auto\n")
    identity = ("-c", "user.name=A Name", "-c", "user.email=name@example.org")
    for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.setattr(paths, "ROOT", folder)
    return folder


def git(folder: Path, *arguments: str) -> bytes:
    """Runs git as the lab does, but not from its code."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True).stdout


def test_git_reads_no_settings_of_the_user_or_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = habits.GITCONFIG.format(home=tmp_path)
    (tmp_path / ".gitconfig").write_text(text)
    (tmp_path / "system").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (Path(os.environ["XDG_CONFIG_HOME"]) / "git/config").exists()
    # It stands for /etc/gitconfig.
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "system"))
    own = {f"command\t{name.lower()}={value}" for name, value in environment.GIT.items()}
    assert {*git(tmp_path, "config", "--list", "--show-scope").decode().splitlines()} == own
    git(tmp_path, "init", "--quiet", "new")
    assert git(tmp_path / "new", "symbolic-ref", "HEAD") == b"refs/heads/main\n"


def test_settings_of_the_clone_do_not_count_either(clone: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    mine = program(tmp_path / "hooks/pre-commit", f"touch {ran}; exit 1")
    (tmp_path / "attributes").write_text("* eol=crlf\n")
    (tmp_path / "everything").write_text("*\n")
    for name, value in {
        "commit.gpgSign": "true",
        "core.attributesFile": tmp_path / "attributes",
        "core.autocrlf": "true",
        "core.eol": "crlf",
        "core.excludesFile": tmp_path / "everything",
        "core.fsmonitor": mine,
        "core.hooksPath": tmp_path / "hooks",
        "gpg.program": mine,
        "user.email": "name@example.org",
        "user.name": "A Name",
    }.items():
        git(clone, "config", name, str(value))
    (clone / "file").unlink()
    git(clone, "checkout", "file")
    assert (clone / "file").read_bytes() == b"one\ntwo\n"
    (clone / "new").touch()
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=more")
    assert git(clone, "ls-files").split() == [b".gitattributes", b"file", b"new"]
    assert not ran.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("locale charmap", "UTF-8"),
        # What they replace is in /etc: a test cannot change it.
        ("printenv TZ", "UTC"),
        ("printenv SHELL", "/bin/sh"),
        ("printenv GIT_ATTR_NOSYSTEM", "1"),
        ("python3 -c 'import sys; print(sys.flags.no_user_site)'", "1"),
        ("python3 -c 'import sys; print(sys.flags.dont_write_bytecode)'", "1"),
    ],
)
def test_settings_of_the_machine_are_replaced(command: str, said: str) -> None:
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert run.stdout == f"{said}\n"


def test_cargo_goes_by_no_flags_or_wrappers_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Cargo.toml", "src/lib.rs", "home/config.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "one"\nedition = "2021"\n')
    (tmp_path / "src/lib.rs").write_text("/// ```\n/// ```\npub fn one() {}\n")
    (tmp_path / "home/config.toml").write_text(
        "[build]\n"
        'rustc-wrapper = "false"\nrustc-workspace-wrapper = "false"\n'
        'rustflags = ["--no-such-flag"]\nrustdocflags = ["--no-such-flag"]\n'
    )
    tools = toolchain.find(want={"tools"}, install=False)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    for verb in ("check", "doc"):
        subprocess.run(
            [tools.cargo, verb, "--quiet", "--offline"], cwd=tmp_path, env=tools.env(), check=True
        )


def test_pip_goes_by_mirrors_of_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "pip/pip.conf"
    assert "user = true" in file.read_text()
    (tmp_path / "pip.conf").write_text(
        "[global]\nextra-index-url =\n    http://a\n    http://b\ntimeout = 1\nno-deps = true\n"
        "[install]\ntimeout = 2\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seen: list[dict[str, str]] = []

    def run(step: list[str], *, env: dict[str, str], **_: object) -> int:
        if "venv" in step:
            program(Path(step[-1]) / "bin/python", f'exec {sys.executable} "$@"')
        else:
            seen.append(env)
        return 0

    monkeypatch.setattr("lab.command.run", run)
    pytools.python(Toolchain({"venv": Path(sys.executable)}))
    listing = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(listing, env=seen[0], capture_output=True, text=True, check=True).stdout
    assert all(line.startswith(":env:.") for line in said.splitlines())
    for setting in (
        "extra-index-url='http://a http://b'", "index-url='http://own'", "timeout='2'"
    ):  # fmt: skip
        assert f":env:.{setting}" in said.splitlines()


def test_gdb_reads_no_file_of_the_user() -> None:
    guest = {"vmlinux": "/build/vmlinux", "socket": "/socket", "module": "/build/ringdev.ko"}
    assert "-nx" in gdb.arguments(guest)


def test_what_git_keeps_for_one_clone_is_in_no_release_and_hides_nothing(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/attributes").write_text("* text eol=crlf\n")
    (clone / ".git/info/exclude").write_text("*\n")
    (tmp_path / "out").mkdir()
    release.unpack("HEAD", tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == b"one\ntwo\n"
    release.refuse_dirty()
    (clone / "new").touch()
    with pytest.raises(LabError, match=r"    \?\? new$"):
        release.refuse_dirty()
    assert Path("new") in lint.tracked()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert (mutant_tree.Tree(0).root / "new").exists()


def test_a_release_is_of_a_commit(clone: Path) -> None:
    (clone / "file").write_text("three\n")
    with pytest.raises(LabError, match=r"     M file$"):
        release.refuse_dirty()


@pytest.mark.usefixtures("clone")
def test_the_clone_of_another_user_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # git's own tests use this.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    release.refuse_dirty()


def test_ci_runs_in_the_tree_whatever_the_shell_is_told(tmp_path: Path) -> None:
    (tmp_path / "other/.ci").mkdir(parents=True)
    program(tmp_path / "tools/make", 'echo "$PWD $*"')
    profile = program(tmp_path / "profile", "cd /")
    run = subprocess.run(
        [".ci/run"],
        cwd=paths.ROOT,
        env={
            "PATH": f"{tmp_path}/tools:{os.environ['PATH']}",
            "CDPATH": str(tmp_path / "other"),
            "BASH_ENV": str(profile),
            "ENV": str(profile),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [
        f"{paths.ROOT} {words}" for words in ("lint", "bench GATE=1", "mutants SAMPLE=ci", "test")
    ]


def test_the_lab_is_found_whatever_the_shell_is_told(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    run = subprocess.run(
        ["sh", "scripts/lab.sh", "no-such-verb"],
        cwd=paths.ROOT,
        env={"PATH": os.environ["PATH"], "CDPATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "no such verb: 'no-such-verb'" in run.stderr
