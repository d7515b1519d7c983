# SPDX-License-Identifier: GPL-2.0
"""Documentation/ABI has the kernel's form, and all that the sources give user space, no more."""

import re
from pathlib import Path

import pytest

from lab import paths

FOLDER = paths.ROOT / "Documentation/ABI/testing"
FIELDS = ["What", "Date", "KernelVersion", "Contact", "Description", "Users"]

_FIELD = re.compile(r"^([A-Z]\w+):[ \t]*(.*)$")
# The first column of a table.
_ROW = re.compile(r"^\t\t([\w-]+)  +\S", re.MULTILINE)

MAIN = (paths.ROOT / "src/ringdev_main.rs").read_text()
CONTROL, _, ENDPOINT = (
    (paths.ROOT / "include/uapi/linux/ringdev.h")
    .read_text()
    .partition("/* On /dev/ring/control. */")[2]
    .partition("/* On an endpoint. */")
)
EVENTS = (paths.ROOT / "include/trace/events/ringdev.h").read_text()
REPORT = (paths.ROOT / "src/report.rs").read_text()


def entries(file: Path) -> dict[str, str]:
    """Returns the descriptions in a file by what they are about; each has all fields, in order."""
    found: dict[str, str] = {}
    for text in re.split(r"\n(?=What:)", file.read_text())[1:]:
        fields: dict[str, str] = {}
        name = ""
        for line in text.splitlines():
            if match := _FIELD.match(line):
                name, value = match.groups()
                assert name not in fields, f"{file.name}: {name} twice"
                fields[name] = value
            else:
                fields[name] += f"\n{line}"
        assert list(fields) == FIELDS, file.name
        assert all(value.strip() for value in fields.values()), file.name
        found[fields["What"]] = fields["Description"]
    return found


def under(prefix: str) -> dict[str, str]:
    """Returns all entries that are about something below a place, by the rest of its name."""
    everything = {what: text for file in FOLDER.iterdir() for what, text in entries(file).items()}
    return {
        what.removeprefix(prefix): text
        for what, text in everything.items()
        if what.startswith(prefix)
    }


def rows(text: str) -> list[str]:
    """Returns the names that the tables of a description are about."""
    return _ROW.findall(text)


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.name)
def test_each_file_has_entries_of_the_form(file: Path) -> None:
    assert entries(file)


def test_an_entry_without_a_field_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "dev-ring"
    file.write_text((FOLDER / "dev-ring").read_text().replace("Date:", "Day:", 1))
    with pytest.raises(AssertionError):
        entries(file)


def test_parameters() -> None:
    declared = re.findall(r"^ +(\w+): (?:\$flag|u\d+) \{$", MAIN, re.MULTILINE)
    assert list(under("ringdev.")) == declared


def test_nodes_and_devices() -> None:
    [control] = re.findall(r'nodename: c_str!\("(.+)"\)', MAIN)
    [device] = re.findall(r'\bname: c_str!\("(.+)"\)', MAIN)
    [rings] = re.findall(r'Region::new\(c_str!\("(.+)"\)', MAIN)
    assert list(under("/dev/")) == [f"{rings}/<name>", control]
    assert set(under("/sys/class/")) == {f"{rings}/<name>", f"misc/{device}"}


def test_ioctls() -> None:
    ioctl = re.compile(r"^#define (RINGDEV_IOC_\w+)", re.MULTILINE)
    nodes = under("/dev/ring/")
    assert rows(nodes["control"]) == ioctl.findall(CONTROL)
    assert rows(nodes["<name>"]) == ioctl.findall(ENDPOINT)


def test_lines_in_debugfs() -> None:
    printed = re.findall(r'seq_print!\(to, "([\w-]+):\\t', REPORT)
    [text] = under("/sys/kernel/debug/").values()
    assert rows(text) == printed


def test_tracepoints() -> None:
    events = under("/sys/kernel/tracing/events/ringdev/")
    declared = re.findall(r"TRACE_EVENT\((\w+),(.*?)\n\);", EVENTS, re.DOTALL)
    assert list(events) == [name for name, _ in declared]
    for name, text in declared:
        [line] = re.findall(r'TP_printk\("(.+?)"', text)
        assert rows(events[name]) == re.findall(r"(\w+)=%", line)


def test_there_is_nothing_else() -> None:
    places = ("ringdev.", "/dev/ring/", "/sys/class/", "/sys/kernel/debug/ringdev/",
              "/sys/kernel/tracing/events/ringdev/", "/proc/<pid>/fdinfo/")  # fmt: skip
    known = sum(len(under(place)) for place in places)
    assert len(under("")) == known


def test_fdinfo() -> None:
    endpoint = (paths.ROOT / "src/endpoint.rs").read_text()
    assert list(under("/proc/")) == ["<pid>/fdinfo/<fd>"] * ("fn show_fdinfo(" in endpoint)
