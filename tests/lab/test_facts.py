# SPDX-License-Identifier: GPL-2.0
"""The facts that documents state are those of the code: commands, variables, links, figures.

Prose may say what it likes; what stands in code style or in a table is compared.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from lab import __main__ as entry
from lab import (
    fuzz,
    install,
    instructions,
    kernel,
    lane,
    lint,
    paths,
    rust_headers,
    source,
    units,
    verdict,
    vm,
)
from lab.errors import Exit

FOLDER = paths.ROOT / "Documentation"
README = paths.ROOT / "README.md"
DOCUMENTS = sorted(
    [README, paths.ROOT / "CHANGELOG.md", *FOLDER.glob("*.rst"), *(FOLDER / "man").glob("*.rst")]
)
CI = [paths.ROOT / ".ci/run", *sorted((paths.ROOT / ".github/workflows").glob("*.yml"))]
MAKEFILE = (paths.ROOT / "Makefile").read_text()
MODULE = (paths.ROOT / "src/ringdev_main.rs").read_text()
HEADER = (paths.ROOT / "include/uapi/linux/ringdev.h").read_text()

# Goals of the kernel's own Makefile that documents speak of.
OF_THE_KERNEL = {"bzImage"}

# Environment variables that are not the lab's own, and so not for `make help`.
OF_OTHERS = {
    "PATH", "TERM", "XDG_CACHE_HOME",  # the user's
    "RUSTUP_HOME",  # of rustup
    "SSL_CERT_FILE",  # of OpenSSL
    "KUNIT",  # of a module's own Makefile
}  # fmt: skip

_CODE = re.compile(r"``(.+?)``|`([^`]+)`", re.DOTALL)
_VARIABLE = re.compile(r"([A-Z][A-Z0-9_]+)=(.*)")
_TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
_HELP = re.compile(r"^#  ([A-Z].*)$", re.MULTILINE)
_READ = re.compile(r"environ(?:\.get\(|\[)\s*\"(\w+)\"|is_on\(\"(\w+)\"\)|\benv_path\(\"(\w+)\"\)")


# Commands and variables.


@dataclass(frozen=True)
class Command:
    """A call of make that a document shows."""

    target: str
    variables: Mapping[str, str]


def pieces(text: str) -> Iterator[str]:
    """Yields what stands in code style: between backticks, and in indented lines."""
    for double, single in _CODE.findall(text):
        yield " ".join((double or single).split())
    for line in text.splitlines():
        if line.startswith("  "):
            yield line.strip()


def commands(text: str) -> Iterator[Command]:
    """Yields the calls of make that a document shows in code style."""
    for piece in pieces(text):
        for part in re.split(r"&&|;", piece):
            match = re.match(r"(?:[$#] |(?:- )?run: )?\s*(?:sudo )?make(?= |$)(.*)", part.strip())
            if not match:
                continue
            try:
                words = shlex.split(match[1], comments=True)
            except ValueError:
                # A command that goes on in the next line.
                words = match[1].split()
            yield from _command(words)


def _command(words: list[str]) -> Iterator[Command]:
    given = [match for word in words if (match := _VARIABLE.fullmatch(word))]
    variables = {match[1]: match[2] for match in given}
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    if len(targets) <= 1 and all(re.fullmatch(r"[\w-]+", target) for target in targets):
        yield Command(targets[0] if targets else "modules", variables)


def named_variables(text: str) -> set[tuple[str, str]]:
    """Returns the variables that a document names in code style, with what they are set to."""
    found = {
        (match[1], match[2])
        for double, single in _CODE.findall(text)
        if (match := re.fullmatch(r"([A-Z][A-Z0-9_]+)=(\S*)", double or single))
    }
    given = [command.variables.items() for command in commands(text)]
    return found.union(*given)


def targets() -> list[str]:
    """Returns what make makes here."""
    return _TARGET.findall(MAKEFILE)


def helped() -> dict[str, list[str]]:
    """Returns the variables of `make help`, each with the verbs that it is said to be for."""
    found: dict[str, list[str]] = {}
    for line in _HELP.findall(MAKEFILE):
        names, _, text = re.sub(r"  +", "\t", line).replace("... ", "...\t").partition("\t")
        verbs, colon, _ = text.partition(": ")
        for name in re.findall(r"([A-Z][A-Z0-9_]*\*?)=", names):
            listed = [verb.strip() for verb in verbs.split(",")] if colon else []
            found[name] = listed if set(listed) <= set(entry.VERBS) else []
    return found


def is_helped(name: str) -> bool:
    """Tells whether `make help` has a variable."""
    return any(fnmatchcase(name, pattern) for pattern in helped())


def read_by_the_lab() -> dict[str, set[str]]:
    """Returns the variables that the lab reads, with the modules that do so."""
    found: dict[str, set[str]] = {}
    for file in (paths.ROOT / "scripts/lab").glob("*.py"):
        for groups in _READ.findall(file.read_text()):
            found.setdefault("".join(groups), set()).add(file.stem)
    return found


@pytest.mark.parametrize("document", [*DOCUMENTS, *CI], ids=lambda path: path.name)
def test_each_command_that_a_document_shows_exists(document: Path) -> None:
    text = document.read_text()
    shown = {command.target for command in commands(text)}
    assert shown - set(targets()) - OF_THE_KERNEL == set()


def test_each_target_is_a_verb_and_is_in_a_document() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    shown = {command.target for command in commands(text)}
    # These are for whoever looks into `make help`.
    for_the_list = {"clean", "rust-analyzer"}
    assert set(targets()) - shown - for_the_list == set()
    assert set(targets()) - {"help"} <= set(entry.VERBS)
    called = re.findall(r"^([a-z-]+):.*\n\t@\$\(LAB\) (\S+)$", MAKEFILE, re.MULTILINE)
    assert sorted(called) == sorted((name, name) for name in targets() if name != "help")


def test_each_target_is_phony() -> None:
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split()
    assert sorted(phony) == sorted(targets())


@pytest.mark.parametrize("document", [*DOCUMENTS, *CI], ids=lambda path: path.name)
def test_each_variable_that_a_document_names_exists(document: Path) -> None:
    named = {name for name, _ in named_variables(document.read_text())}
    # Those of kernel configurations have a prefix; kbuild's and the system's own are not for make.
    ours = {name for name in named if not name.startswith("CONFIG_") and name not in OF_OTHERS}
    assert {name for name in ours if not is_helped(name)} == set()


def test_each_variable_that_the_lab_reads_is_in_the_help() -> None:
    read = set(read_by_the_lab())
    assert {name for name in read if not is_helped(name)} - OF_OTHERS == set()


def test_each_variable_of_the_help_is_read() -> None:
    read = {*read_by_the_lab(), "NO_INSTALL"}
    patterns = {name for name in helped() if not any(fnmatchcase(one, name) for one in read)}
    code = "\n".join(file.read_text() for file in (paths.ROOT / "scripts/lab").glob("*.py"))
    assert {name for name in patterns if f'"{name}"' not in code} == set()


@pytest.mark.parametrize("name", [name for name, verbs in helped().items() if verbs])
def test_the_help_names_the_targets_of_a_variable(name: str) -> None:
    readers = set().union(*(by for one, by in read_by_the_lab().items() if fnmatchcase(one, name)))
    verbs = {verb for verb, module in entry.VERBS.items() if module in readers}
    # `make uninstall` reads what `make install` does; the targets of verbs that have none are not
    # meant.
    imported = {"uninstall"} if "install" in readers else set()
    assert set(helped()[name]) - imported == (verbs & set(targets())) - imported


def test_commands_are_found_in_code_style_alone() -> None:
    text = "make no. `make test\nLANE=plain`, ``sudo make install``:\n\n    make && make ringctl\n"
    assert [command.target for command in commands(text)] == [
        "test",
        "install",
        "modules",
        "ringctl",
    ]
    assert named_variables(f"{text} `ONLY=a`, ONLY=b") == {("LANE", "plain"), ("ONLY", "a")}


# Lanes and series.


def terms(document: Path, section: str) -> list[str]:
    """Returns what a section defines: the terms, in code style, of its definition lists."""
    text = document.read_text().partition(f"\n{section}\n")[2].split("\n", 1)[1]
    text = re.split(r"^(?:=+|-+)$", text, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^``([\w.]+)``$", text, re.MULTILINE)


def test_the_lanes_of_the_document_are_those_of_the_lab() -> None:
    assert terms(FOLDER / "lab.rst", "Lanes") == [*lane.ALL, "fuzz"]
    assert set(lane.TRAITS) - set(lane.ALL) == {"inline", "fuzz"}


def test_the_lanes_of_the_help_are_those_of_the_lab() -> None:
    [line] = [line for line in _HELP.findall(MAKEFILE) if line.startswith("LANE=")]
    assert line.startswith(f"LANE={'|'.join(lane.NAMES)} ")
    assert line.endswith(f"have also {', '.join(lane.ON_REQUEST)}")


@pytest.mark.parametrize("document", [*DOCUMENTS, *CI], ids=lambda path: path.name)
def test_each_lane_and_series_that_a_document_names_exists(document: Path) -> None:
    known = {"LANE": set(lane.ALL), "KERNEL": set(source.SERIES)}
    for name, value in named_variables(document.read_text()):
        if name in known and value:
            assert value in known[name], f"{name}={value}"


def test_the_series_are_the_same_everywhere() -> None:
    first, *_ = source.SERIES
    [line] = [line for line in _HELP.findall(MAKEFILE) if line.startswith("KERNEL=")]
    assert set(line.split()[0].removeprefix("KERNEL=").split("|")) == set(source.SERIES)
    assert line.endswith(f"{first} if not given")
    kbuild = (paths.ROOT / "Kbuild").read_text()
    assert set(re.findall(r"filter ([\d. ]+),", kbuild)[0].split()) == set(source.SERIES)
    readme = README.read_text()
    assert f"builds a Linux {first} " in " ".join(readme.split())
    assert f"a {' or '.join(sorted(source.SERIES))}" in " ".join(readme.split())


# Exit codes.


def table(text: str, head: str) -> list[list[str]]:
    """Returns the rows below the head of a simple table of reStructuredText."""
    body = re.split(r"^=+(?: +=+)+$", text.partition(f"\n{head}")[2], flags=re.MULTILINE)[1]
    return [line.split(maxsplit=1) for line in body.strip().splitlines()]


def test_the_exit_codes_of_the_document_are_those_of_the_lab() -> None:
    rows = table((FOLDER / "lab.rst").read_text(), "code meaning")
    documented = {int(code): meaning for code, meaning in rows}
    assert list(documented) == [int(code) for code in Exit]
    assert documented[Exit.USAGE] == "the command line was wrong"
    for code, sentence in verdict.SENTENCES.items():
        topic, *_ = re.split(r":| to run ", sentence)
        assert documented[code].startswith(topic), code


def test_each_verdict_has_a_sentence() -> None:
    assert set(verdict.SENTENCES) == set(Exit) - {Exit.USAGE}


def test_the_shells_code_for_a_host_that_is_not_fit_is_the_labs() -> None:
    script = (paths.ROOT / "scripts/lab.sh").read_text()
    assert re.findall(r"^NOT_FIT=(\d+)$", script, re.MULTILINE) == [str(int(Exit.HOST_NOT_FIT))]


def test_the_code_of_a_wrong_call_of_vm_is_documented() -> None:
    text = " ".join((FOLDER / "lab.rst").read_text().split())
    assert f"there a wrong command line is {vm.USAGE}." in text


def test_each_option_of_vm_that_a_document_shows_exists() -> None:
    known = set(re.findall(r"--[a-z-]+", vm.parser().format_help()))
    for document in DOCUMENTS:
        for piece in pieces(document.read_text()):
            if piece.startswith("scripts/vm "):
                own = piece.partition(" -- ")[0]
                assert set(re.findall(r"--[a-z][a-z-]*", own)) <= known, piece


# Links, files and sections.

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_DIRECTIVE = re.compile(r"^ *\.\. (?:include|literalinclude|image|figure):: (\S+)$", re.MULTILINE)
_REFERENCE = re.compile(r"``([\w-]+\.rst)``(?:,\s+\"([^\"]+)\")?")
_TITLE = re.compile(r"^(\S.*)\n(?:=+|-+)$", re.MULTILINE)


def elsewhere(target: str) -> bool:
    """Tells whether a link leads out of the tree."""
    return bool(re.match(r"\w+:|#", target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    links = [target.partition("#")[0] for target in _LINK.findall(text) if not elsewhere(target)]
    links += _DIRECTIVE.findall(text)
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_there_are_links_to_follow() -> None:
    assert len(_LINK.findall(README.read_text())) > 10


def test_the_list_of_contents_has_each_document() -> None:
    listed = re.findall(
        r"^   ([\w-]+(?:/[\w-]+)?)$", (FOLDER / "index.rst").read_text(), re.MULTILINE
    )
    have = {
        str(file.relative_to(FOLDER).with_suffix(""))
        for file in DOCUMENTS
        if file.suffix == ".rst" and file.stem != "index"
    }
    assert set(listed) == have


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_document_and_section_that_a_document_names_exists(document: Path) -> None:
    for name, section in _REFERENCE.findall(document.read_text()):
        other = FOLDER / name
        if not other.exists():
            other = FOLDER / "man" / name
        assert other.exists(), name
        title = " ".join(section.split()).rstrip(".,")
        assert not title or title in _TITLE.findall(other.read_text()), f"{name}, {title}"


def test_the_table_of_folders_has_all_that_there_are() -> None:
    text = README.read_text().partition("\n## Where things are\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w/-]+)/` ", text, re.MULTILINE)
    assert [name for name in named if not (paths.ROOT / name).is_dir()] == []
    tracked = {file.split("/")[0] for file in files() if "/" in file}
    of_tests = {"/".join(file.split("/")[:2]) for file in files() if file.startswith("tests/")}
    have = {folder for folder in tracked if not folder.startswith(".")} - {"tests", "include"}
    assert {name for name in named if "/" not in name} == have
    assert {name for name in named if name.startswith("tests/")} == of_tests


def files() -> list[str]:
    """Returns the files of the tree."""
    return [str(file) for file in lint.tracked()]


# Figures.


def counts(text: str) -> list[int]:
    """Returns the numbers of a row, as they are written for people."""
    return [int(cell.replace(",", "")) for cell in text.split() if re.fullmatch(r"[\d,]+", cell)]


def recorded() -> tuple[str, Mapping[str, Mapping[str, float]]]:
    """Returns the record that the documents show, with its name."""
    setting = (FOLDER / "performance/setting.rst").read_text()
    kernel = re.findall(r"^Linux ([\d.]+), plain lane; (rustc [^;]+);", setting, re.MULTILINE)
    [name] = [
        name
        for name in instructions.names()
        if name.startswith(", ".join(["Linux " + kernel[0][0], kernel[0][1]]))
    ]
    found = instructions.read(name)
    assert found is not None
    return name, found


def performance(name: str) -> list[list[str]]:
    """Returns the rows of a table of Documentation/performance, its head first."""
    text = (FOLDER / f"performance/{name}.rst").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith(("..", "="))]
    return [re.split(r"  +", line.strip()) for line in lines]


SIZES = {units.size(int(key)): key for key in recorded()[1] if key.isdecimal()}


def test_the_readmes_table_of_instructions_is_the_record() -> None:
    _, medians = recorded()
    columns = ("ring", "pipe", "unix", "kfifo", "floor")
    text = README.read_text()
    rows = re.findall(r"^\| (\d+ [KM]?i?B) +\|(.+)$", text, re.MULTILINE)
    assert len(rows) > 3
    for size, cells in rows:
        shown = counts(cells.replace("|", " "))
        assert shown == [medians[SIZES[size]][peer] for peer in columns], size


def test_the_readme_says_what_its_figures_were_taken_with() -> None:
    name, _ = recorded()
    kernel, rustc, clang = (
        re.findall(pattern, name)[0]
        for pattern in (r"Linux ([\d.]+)", r"rustc (\d+\.\d+)", r"clang version (\d+)")
    )
    text = " ".join(README.read_text().split())
    assert f"Linux {kernel} without mitigations, built by clang {clang} and rustc {rustc}," in text


def test_the_table_of_instructions_is_the_record() -> None:
    _, medians = recorded()
    [_, *peers], *rows = performance("instructions")
    assert [row[0] for row in rows] == list(SIZES)
    for size, *cells in rows:
        have = medians[SIZES[size]]
        assert [*cells] == [f"{have[peer]:,}" if peer in have else "-" for peer in peers], size


def test_the_table_of_batches_is_the_record() -> None:
    _, medians = recorded()
    [_, *ways], *rows = performance("batches")
    for peer, *cells in rows:
        have = [medians[f"64, a batch {way}"].get(peer) for way in ways]
        assert cells == ["-" if cost is None else f"{cost:,}" for cost in have], peer


def test_the_table_of_broadcast_is_the_record() -> None:
    _, medians = recorded()
    [_, _, *ways], *rows = performance("broadcast")
    for size, peer, *cells in rows:
        keys = [f"{SIZES[size]}, {way.replace(' by ', ' to ')}" for way in ways]
        assert cells == [f"{medians[key][peer]:,}" for key in keys], (size, peer)


def test_the_table_of_overwriting_is_the_record() -> None:
    _, medians = recorded()
    [_, *heads, _], *rows = performance("overwrite")
    for size, *cells, pair in rows:
        columns = [head.split(", ") for head in heads]
        have = [medians[f"{SIZES[size]}, over the oldest {way}"][peer] for peer, way in columns]
        assert cells == [f"{cost:,}" for cost in have], size
        assert pair == f"{medians[SIZES[size]]['ring']:,}", size


def test_the_comparison_is_of_the_record() -> None:
    _, medians = recorded()
    [_, *heads], *rows = performance("compared")
    for size, *cells in rows:
        have = medians[SIZES[size]]
        for head, cell in zip(heads[:-1], cells[:-1], strict=True):
            peer = head.removeprefix("ring/")
            # The record is rounded to whole instructions.
            assert (cell == "-") is (peer not in have), (size, peer)
            assert cell == "-" or float(cell) == pytest.approx(have["ring"] / have[peer], abs=0.002)
        assert float(cells[-1]) == pytest.approx(have["ring"] - have["floor"], abs=1)


def test_the_verdict_on_a_target_is_that_of_its_figures() -> None:
    [_, *_], *rows = performance("targets")
    for what, bound, measured, said in rows:
        sign, number = bound.rsplit(maxsplit=1)
        missed = (
            float(measured) < float(number)
            if sign == "at least"
            else (float(measured) > float(number))
        )
        assert said == ("missed" if missed else "met"), what


def test_the_rise_that_fails_is_the_one_in_the_documents() -> None:
    words = {0.02: "two per cent more than", 0.01: "one per cent more than"}
    text = " ".join((FOLDER / "lab.rst").read_text().split())
    assert f"at most {words[instructions.RISE_MAX]} ``tests/bench/instructions.json``" in text
    text = " ".join((FOLDER / "performance.rst").read_text().split())
    assert f"if the ring needs {instructions.RISE_MAX * 100:.0f} per cent more than it says" in text


def test_the_record_can_be_read() -> None:
    lists = json.loads(instructions.RECORD.read_text())
    assert all(
        cost > 0 for medians in lists.values() for of in medians.values() for cost in of.values()
    )


# What the driver offers.


def parameters() -> dict[str, str]:
    """Returns the module's parameters, with their defaults."""
    declared = re.findall(r"^ +(\w+): (?:\$flag|u\d+) \{\n\s*default: (\S+),", MODULE, re.MULTILINE)
    return {name: "1" if default == "$set" else default for name, default in declared}


def test_the_manual_page_has_each_parameter_with_its_default() -> None:
    text = (FOLDER / "man/ringdev.rst").read_text()
    entries = re.findall(r"^``(\w+)=\S+``\n((?:    .*\n)+)", text, re.MULTILINE)
    said = {name: " ".join(described.split()) for name, described in entries}
    assert list(said) == sorted(parameters())
    for name, default in parameters().items():
        assert (
            f"Default {default}." in said[name] or f"{default}, which is the default" in said[name]
        )


def test_the_description_of_a_parameter_has_its_default() -> None:
    described = dict(
        re.findall(
            r'^ +(\w+): (?:\$flag|u\d+) \{\n.*\n\s*description: "(.+)"', MODULE, re.MULTILINE
        )
    )
    for name, default in parameters().items():
        assert re.search(rf"\(.*\b{default}\)", described[name]), name


def choices() -> dict[str, list[str]]:
    """Returns what a ring can be, by what is chosen, as the ABI has it."""
    groups = re.findall(
        r"^/\* (Framing|Full|Delivery): .*\n((?:#define .*\n)+)", HEADER, re.MULTILINE
    )
    return {
        name: [word.lower() for word in re.findall(r"^#define RINGDEV_(\w+)", body, re.MULTILINE)]
        for name, body in groups
    }


def section(document: str, title: str) -> str:
    """Returns a section of a document, without its title."""
    text = (FOLDER / document).read_text().partition(f"\n{title}\n")[2].split("\n", 1)[1]
    return re.split(r"^\S.*\n(?:=+|-+)$", text, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_table_of_kinds_has_each_choice() -> None:
    rows = re.findall(
        r"^(\w+|\.\.) +``RINGDEV_(\w+)``", section("user-api.rst", "Kinds of rings"), re.MULTILINE
    )
    listed: dict[str, list[str]] = {}
    name = ""
    for first, value in rows:
        name = name if first == ".." else first
        listed.setdefault(name, []).append(value.lower())
    assert listed.pop("flags") == ["hangup"]
    assert listed == {name.lower(): words for name, words in choices().items()}


def test_the_table_of_nodes_has_each_that_the_abi_has() -> None:
    text = section("threat-model.rst", "Who may open what")
    described = "\n".join(file.read_text() for file in (FOLDER / "ABI/testing").iterdir())
    nodes = re.findall(
        r"^What:\t+(/dev/\S+|/sys/kernel/debug/\S+|/sys/class/ring)\b", described, re.MULTILINE
    )
    assert len(nodes) > 3
    for node in nodes:
        assert (
            f"``{node.replace('/dev/ring/<name', '/dev/ring/NAME').replace('<name', '*')}``" in text
        )


def test_the_way_through_the_module_has_each_of_its_files() -> None:
    text = section("design.rst", "Where things are")
    # Those that are on no way: they say what the module is, or what others have said already.
    on_none = {"ringdev_main.rs", "report.rs", "platform.rs"}
    for path in (paths.ROOT / "src").iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        assert name in text or name in on_none or path.suffix not in ("", ".rs") or name == "Kbuild"


def test_the_list_of_a_releases_files_is_what_is_made() -> None:
    made = re.findall(r'f"\{stem\}([\w.-]+)"', (paths.ROOT / "scripts/lab/release.py").read_text())
    listed = re.findall(
        r"^``ringdev-<version>([\w.-]+)`` ", section("install.rst", "A release"), re.MULTILINE
    )
    assert sorted(listed) == sorted(set(made))
    assert "``SHA256SUMS``" in section("install.rst", "A release")


def test_the_manual_page_shows_how_each_command_is_called() -> None:
    page = (FOLDER / "man/ringctl.rst").read_text()
    enum = (paths.ROOT / "tools/ringctl/src/args.rs").read_text().partition("enum Command {")[2]
    verbs = [
        verb.lower()
        for verb in re.findall(
            r"^    ([A-Z]\w+)(?:\(| \{|,)", enum.partition("\n}")[0], re.MULTILINE
        )
    ]
    assert len(verbs) > 7
    for verb in verbs:
        assert re.search(rf"^{verb}\n-+\n\n::\n\n    ringctl {verb}\b", page, re.MULTILINE), verb


@pytest.mark.parametrize("document", ["README.md", "Documentation/man/ringdev.rst"])
def test_each_choice_is_in_the_introduction(document: str) -> None:
    text = (paths.ROOT / document).read_text()
    offered = [word for words in choices().values() for word in words]
    assert len(offered) >= 7
    missing = [word for word in offered if not re.search(rf"\*\S*{word[:-1]}\w*\*", text)]
    assert missing == []


def test_the_number_of_kinds_is_that_of_the_choices() -> None:
    # Each with hangup and without.
    kinds = 2
    for words in choices().values():
        kinds *= len(words)
    for name, sentence in (
        ("user-api.rst", "All {} combinations"),
        ("contributing.rst", "it runs for each of the {}."),
    ):
        text = " ".join((FOLDER / name).read_text().split())
        assert sentence.format(kinds) in text, name


def test_each_call_that_the_readme_lists_is_in_the_reference() -> None:
    text = " ".join(README.read_text().split())
    listed = re.findall(r"(`read`, `write`.*?) work as", text)
    assert len(listed) == 1
    reference = (FOLDER / "user-api.rst").read_text()
    for call in re.findall(r"`(\w+)`", listed[0]):
        assert re.search(rf"\b{call}\b", reference), call


def test_ci_runs_what_the_documents_say() -> None:
    script = (paths.ROOT / ".ci/run").read_text()
    run = re.findall(r"^(make [^|]+?) \|\|", script, re.MULTILINE)
    text = " ".join((FOLDER / "contributing.rst").read_text().split())
    quoted = [f"``{command}``" for command in run]
    assert f"{', '.join(quoted[:-1])} and {quoted[-1]} are what CI runs" in text


def test_what_takes_longer_runs_once_a_week() -> None:
    text = README.read_text().partition("What takes longer")[2].partition("\n`make bench`")[0]
    longer = {
        (command.target, command.variables.get("LANE", ""))
        for row in re.findall(r"^\| (`make [^|]+)", text, re.MULTILINE)
        for command in commands(row)
    }
    weekly = (paths.ROOT / ".github/workflows/slow.yml").read_text()
    lines = re.findall(r"^ +- ([a-z-]+(?: [A-Z]+=\S+)*)$", weekly, re.MULTILINE)
    runs = {
        (command.target, command.variables.get("LANE", ""))
        for line in lines
        for command in commands(f"`make {line}`")
    }
    # The matrix is run in parts there, and its lanes are tested by it.
    covered = runs | {("test", lane_name) for _, lane_name in runs}
    covered |= {(target, "") for target, _ in runs}
    assert longer - covered == set()


def test_the_room_that_a_kernel_takes_is_the_labs() -> None:
    text = " ".join((FOLDER / "lab.rst").read_text().split())
    assert f"A build begins if {kernel.ROOM >> 30} GiB are free" in text


def test_the_room_that_the_headers_take_is_the_labs() -> None:
    room = rust_headers.ROOM >> 30
    assert f"({room} GiB of disk," in " ".join(README.read_text().split())
    text = " ".join((FOLDER / "install.rst").read_text().split())
    assert f"less than {room} GiB are free" in text


def test_the_help_says_what_counts_if_nothing_is_given() -> None:
    said = {
        line.partition("=")[0]: match[1]
        for line in _HELP.findall(MAKEFILE)
        if (match := re.search(r"; (\S+) if not given$", line))
    }
    assert said == {
        "MINUTES": str(fuzz.MINUTES),
        "SEED": str(fuzz.SEED),
        "KERNEL": next(iter(source.SERIES)),
        "PREFIX": install.PREFIX,
    }
