# SPDX-License-Identifier: GPL-2.0
"""What is shipped: Debian's files, those for the boot, what kbuild, DKMS and CI read.

The tests of packages build and install all this, and need root and an hour; these only read it.
"""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from lab import module, paths, toolchain

ROOT = paths.ROOT
DEBIAN = ROOT / "debian"
BOOT = ROOT / "samples/boot"
MAIN = (ROOT / "src/ringdev_main.rs").read_text()
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def lines(file: Path) -> list[str]:
    """Returns the lines of a file that say something."""
    stripped = [line.strip() for line in file.read_text().splitlines()]
    return [line for line in stripped if line and not line.startswith("#")]


def paragraphs(file: Path) -> list[dict[str, str]]:
    """Reads a file of Debian's that has fields."""
    found = []
    for paragraph in re.split(r"\n\n+", file.read_text().strip()):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith((" ", "\t")):
                fields[name] += f"\n{line.strip()}"
            elif not line.startswith("#"):
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        found.append(fields)
    return found


# Debian's packages.


@pytest.mark.parametrize("kind", ["docs", "examples", "install", "manpages"])
def test_what_a_package_has_is_there_or_built(kind: str) -> None:
    rules = (DEBIAN / "rules").read_text()
    for file in DEBIAN.glob(f"*.{kind}"):
        assert lines(file), file.name
        for line in lines(file):
            source = line.split()[0]
            if source.startswith("target/"):
                # RINGCTL is what cargo makes; the rest is written by a rule.
                assert source == "target/release/ringctl" or f"> {source}\n" in rules
            else:
                assert list(ROOT.glob(source)), source


def test_packages_leave_nothing_out() -> None:
    def shipped(pattern: str) -> set[str]:
        return {line.split()[0] for file in DEBIAN.glob(pattern) for line in lines(file)}

    assert shipped("*.manpages") == {f"packaging/man/{p.name}" for p in pages()}
    # Each script that the rules have ringctl write.
    completions = set(re.findall(r"> (target/completions/\S+)", (DEBIAN / "rules").read_text()))
    assert shipped("ringctl.install") == {"target/release/ringctl", *completions}
    assert shipped("ringdev-dkms.install") == {*module.SOURCES, "packaging/60-ringdev.rules"}
    assert shipped("*.examples") == {"samples/boot/*"}
    assert shipped("*.dkms") == {"dkms.conf"}
    # What says how to use the module and its interface.
    documents = {"boot", "design", "threat-model", "user-api"}
    assert shipped("*.docs") == {f"Documentation/{name}.rst" for name in documents}


def pages() -> list[Path]:
    """Returns the manual pages."""
    return sorted((ROOT / "packaging/man").iterdir())


def test_the_source_package_is_native() -> None:
    assert (DEBIAN / "source/format").read_text() == "3.0 (native)\n"


def test_what_the_rules_write_is_cleaned() -> None:
    rules = (DEBIAN / "rules").read_text()
    written = set(re.findall(r"(?:CURDIR\)/|cp \S+ |> )((?:debian|target)/\S+)", rules))
    cleaned = lines(DEBIAN / "clean")
    assert len(written) > 3
    for path in written:
        assert any(
            f"{path}/".startswith(one if one.endswith("/") else f"{one}/") for one in cleaned
        )


def test_each_package_says_what_debian_asks_for() -> None:
    source, *binaries = paragraphs(DEBIAN / "control")
    assert {"Source", "Maintainer", "Build-Depends", "Standards-Version"} <= set(source)
    assert len(binaries) == 2
    for binary in binaries:
        assert {"Package", "Architecture", "Depends", "Description"} <= set(binary)
        assert "${misc:Depends}" in binary["Depends"]


def test_the_module_depends_on_what_builds_it() -> None:
    [package] = [p for p in paragraphs(DEBIAN / "control") if p.get("Package") == "ringdev-dkms"]
    for tool in ("bindgen", "rustc"):
        *least, last = toolchain.MINIMUM[tool]
        version = ".".join(map(str, [*least, last] if last else least))
        assert f"\n{tool} (>= {version})," in package["Depends"]


def test_each_rule_that_dh_is_not_to_run_is_there() -> None:
    overridden = re.findall(
        r"^override_dh_(\w+(?:-\w+)?):", (DEBIAN / "rules").read_text(), re.MULTILINE
    )
    # What dh_auto_* would do by the Makefile, which asks for a kernel.
    steps = ["auto_configure", "auto_install", "auto_clean"]
    steps += [f"auto_{verb}-{which}" for verb in ("build", "test") for which in ("indep", "arch")]
    assert sorted(overridden) == sorted(steps)


def test_each_licence_has_its_whole_text() -> None:
    """As their texts are everywhere: each sentence begins and ends."""
    texts = {
        p["License"].partition("\n")[0]: p["License"].partition("\n")[2]
        for p in paragraphs(DEBIAN / "copyright")
        if next(iter(p)) == "License"
    }
    named = {
        name.strip("()")
        for p in paragraphs(DEBIAN / "copyright")
        if "Files" in p
        for name in re.split(r" or | and ", p["License"])
    }
    assert named == set(texts)
    for name, text in texts.items():
        for part in text.split("\n.\n"):
            assert re.match(r"[A-Z]", part), f"{name}: {part}"
            assert re.search(r"[.:>]$|AGREEMENT$", part), f"{name}: {part}"


# The files for the boot.


def test_the_udev_rule_is_for_the_control_node() -> None:
    [rule] = lines(ROOT / "packaging/60-ringdev.rules")
    [node] = re.findall(r'name: c_str!\("(\w+-control)"\)', MAIN)
    [group] = [line.split()[1] for line in lines(ROOT / "packaging/sysusers.conf")]
    assert rule == f'SUBSYSTEM=="misc", KERNEL=="{node}", GROUP="{group}", MODE="0660"'


def test_the_rules_for_nodes_are_for_rings() -> None:
    text = (BOOT / "70-ring-nodes.rules").read_text()
    # Each comment after the first is about a rule.
    _, *abouts = re.findall(r"(?:^#.*\n)+", text, re.MULTILINE)
    rules = lines(BOOT / "70-ring-nodes.rules")
    assert len(rules) == len(abouts) > 1
    for about, rule in zip(abouts, rules, strict=True):
        match = re.fullmatch(
            r'SUBSYSTEM=="ring", KERNEL=="([\w*-]+)", GROUP="\w+", MODE="0\d{3}"', rule
        )
        assert match, rule
        assert match[1].rstrip("*") in about


def test_the_module_is_loaded_with_parameters_that_it_has() -> None:
    assert lines(BOOT / "modules-load.conf") == ["ringdev"]
    [options] = lines(BOOT / "modprobe.conf")
    verb, name, *given = options.split()
    assert (verb, name) == ("options", "ringdev")
    assert given
    for one in given:
        assert re.search(rf"^ +{one.partition('=')[0]}: ", MAIN, re.MULTILINE), one


def test_nodes_that_are_there_at_boot_get_their_modes() -> None:
    rows = [line.split() for line in lines(BOOT / "tmpfiles.conf")]
    assert [row[1] for row in rows] == ["/dev/ring/control", "/dev/ring/0"]
    assert all(row[0] == "z" and re.fullmatch(r"0\d{3}", row[2]) for row in rows)


def test_the_unit_makes_a_ring_once_the_module_is_there() -> None:
    unit = lines(BOOT / "ring@.service")
    for needed in (
        "After=systemd-modules-load.service",
        "ConditionPathExists=/dev/ring/control",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "EnvironmentFile=/etc/ringdev/%i.conf",
        "ExecStart=ringctl create %i $RING_OPTIONS",
        "ExecStop=ringctl destroy %i",
        "WantedBy=multi-user.target",
    ):
        assert needed in unit


# What kbuild and DKMS read.


def kbuild(**variables: str) -> subprocess.CompletedProcess[str]:
    """Has make read Kbuild as that of a kernel does."""
    given = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "-f", "-", f"src={ROOT}", *given],
        input="all:;\ninclude $(src)/Kbuild\n",
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_build_for_another_kernel_is_refused_and_nothing_else() -> None:
    other = {"VERSION": "6", "PATCHLEVEL": "1"}
    refused = kbuild(**other, **{"need-modorder": "1"})
    assert "ringdev is made for Linux" in refused.stderr
    # make clean goes on.
    assert "made for" not in kbuild(**other).stderr
    assert "made for" not in kbuild(VERSION="7", PATCHLEVEL="3", **{"need-modorder": "1"}).stderr


def test_each_symbol_that_kbuild_asks_for_is_in_kconfig() -> None:
    used = set(
        re.findall(
            r"CONFIG_(RINGDEV\w*)",
            "".join((ROOT / name).read_text() for name in ("Kbuild", "src/Kbuild")),
        )
    )
    config = re.findall(
        r"^config (\w+)\n\t(?:tristate|bool) \"", (ROOT / "Kconfig").read_text(), re.MULTILINE
    )
    assert set(config) == used


def test_what_is_made_if_it_changed_is_a_target_of_kbuild() -> None:
    # What is not among the targets has no record of its command, and is made anew each time.
    text = (ROOT / "src/Kbuild").read_text()
    made = re.findall(r"^\$\(obj\)/(\S+):.*FORCE\n\t\$\(call if_changed", text, re.MULTILINE)
    assert made
    assert set(made) <= set(re.findall(r"^targets \+= (\S+)$", text, re.MULTILINE))


def test_dkms_leaves_out_a_kernel_without_its_crates(tmp_path: Path) -> None:
    script = f'set -eu; . {ROOT}/dkms.conf; echo "$AUTOINSTALL,${{BUILD_EXCLUSIVE_KERNEL:-}}"'

    def said(**env: str) -> str:
        run = subprocess.run(
            ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    assert said(kernel_source_dir="") == "yes,"
    assert said(kernel_source_dir=str(tmp_path), kernelver="7.3") == ",^$"
    (tmp_path / "rust").mkdir()
    (tmp_path / "rust/libkernel.rmeta").touch()
    assert said(kernel_source_dir=str(tmp_path)) == "yes,"


# Makefiles, and what CI reads.


def test_the_help_says_how_make_is_called() -> None:
    run = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = run.stdout.splitlines()
    assert said[:3] == ["usage: make [TARGET] [VARIABLE=value]...", "", "Targets:"]
    phony = " ".join(
        re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    ).split()
    assert sorted(line.split()[0] for line in said[3 : said.index("Variables:")] if line) == sorted(
        phony
    )


@pytest.mark.parametrize("folder", ["c", "module"])
def test_each_phony_target_of_a_sample_has_a_rule(folder: str) -> None:
    makefile = ROOT / "samples" / folder / "Makefile"
    text = makefile.read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    for target in phony.split():
        assert re.search(rf"^(?:\S+ )*{target}(?: \S+)*:", text, re.MULTILINE), target


def test_clean_leaves_nothing_of_the_samples_in_c(tmp_path: Path) -> None:
    make = ["make", "-f", str(ROOT / "samples/c/Makefile")]
    sources = sorted(path.stem for path in (ROOT / "samples/c").glob("*.c"))
    for name in sources:
        (tmp_path / name).touch()
    subprocess.run([*make, "clean"], cwd=tmp_path, capture_output=True, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_each_step_of_a_workflow_does_something(workflow: Path) -> None:
    text = workflow.read_text()
    assert text.count("${{") == text.count("}}")
    # Nobody leaves an expression open in a line of its own.
    for expression in re.findall(r"\$\{\{(.*?)\}\}", text, re.DOTALL):
        assert "${{" not in expression
        assert expression.count("(") == expression.count(")")
    steps = re.findall(
        r"^      - (?=id:|name:|uses:|run:|if:).*\n(?:(?:        .*)?\n)*", text, re.MULTILINE
    )
    assert steps
    for step in steps:
        # A block that is given to `run: |` stands further in.
        does = re.findall(
            r"^ {6}[- ] (?:uses: \S+@\S|run: [^|\s]|run: \|\n {10}\S)", step, re.MULTILINE
        )
        assert len(does) == 1, step


def test_pages_are_of_the_newest_version() -> None:
    spec = importlib.util.spec_from_file_location("conf", ROOT / "Documentation/conf.py")
    assert spec
    assert spec.loader
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    newest = (DEBIAN / "changelog").read_text()
    assert newest.startswith(f"ringdev ({conf.version}) ")
    assert conf.release == conf.version
