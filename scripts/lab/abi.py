# SPDX-License-Identifier: GPL-2.0
"""``make abi``: records what programs know of ringdev, after something was added to it.

The record is tests/abi/ringdev.abi. ``make test`` compares the header with it, so that neither a
change that breaks programs nor an addition goes unnoticed. A change that breaks programs is not
recorded: whoever means it removes the record first.
"""

import argparse
import re
from collections.abc import Iterator, Sequence

from lab import header, paths, toolchain
from lab.errors import Exit, LabError
from lab.header import Abi, Compilation, Field, Names, Structure
from lab.ktap import Result, Status
from lab.report import say
from lab.results import matches
from lab.toolchain import Toolchain

# What these tests are called in a summary.
SUITE = "abi"

RECORD = paths.ROOT / "tests/abi/ringdev.abi"

# What a structure begins with that may grow.
SIZE = Field("size", "__u32", 0, 4)

# How the numbers of ioctls begin, which are shown as the kernel's lists show them.
IOCTL = "RINGDEV_IOC_"

PREFACE = """\
# SPDX-License-Identifier: GPL-2.0
#
# What compiled programs know of ringdev: the structures of include/uapi/linux/ringdev.h, with the
# offset, size, type and name of each field, and the constants. It is the same for 32-bit and for
# 64-bit programs. `make test` compares the header with this; `make abi` records additions here.
"""

_STRUCTURE = re.compile(r"struct (\w+), (\d+) bytes")
_FIELD = re.compile(r"\s+(\d+)\s+(\d+)\s+(\S.*?)\s+(\w+)")
_CONSTANT = re.compile(r"(\w+) = (-?\w+)")


def main(argv: list[str]) -> int:
    """The verb ``abi``."""
    argparse.ArgumentParser(prog="make abi", description=__doc__).parse_args(argv)
    now, narrow = _seen(toolchain.find(want={"abi"}))
    wrong, new = differences(now, narrow), ["all of it"]
    if RECORD.exists():
        recorded = read(RECORD.read_text())
        wrong += broken(recorded, now)
        new = added(recorded, now)
    for sentence in wrong:
        say(sentence)
    if wrong:
        say(f"not recorded. If programs are to break, remove {RECORD.relative_to(paths.ROOT)}")
        return Exit.TESTS_FAILED
    for sentence in new:
        say(f"recorded: {sentence}")
    RECORD.write_text(write(now))
    return Exit.PASSED


def tests(tc: Toolchain, only: str) -> tuple[str, list[Result]]:
    """Compares the header with the record; returns the suite's name and its tests."""
    found = [result for result in _tests(tc) if not only or matches(result.name, only)]
    return SUITE, found


def _tests(tc: Toolchain) -> Iterator[Result]:
    try:
        declared = header.names(tc)
        wide, narrow = (header.seen(tc, declared, width) for width in header.CLANG)
        recorded = read(RECORD.read_text()) if RECORD.exists() else Abi({}, {})
    except LabError as error:
        yield _result("the_header_and_its_record_can_be_read", str(error).splitlines())
        return
    for compilation in header.compilations(tc):
        yield _compiles(compilation, declared)
    yield _result("the_header_is_the_same_for_32_bit_programs", differences(wide, narrow))
    yield _result("what_programs_know_is_as_it_was", broken(recorded, wide))
    new = added(recorded, wide)
    yield _result(
        "what_was_added_is_recorded", [*new, "`make abi` records additions"] if new else []
    )


def _compiles(compilation: Compilation, declared: Names) -> Result:
    """Tells whether the header compiles alone, without a warning."""
    name = f"the_header_compiles_alone ({compilation.name})"
    if not compilation.command:
        return Result(name, Status.SKIPPED, "this compiler is not here")
    return _result(name, header.complaints(compilation.command, declared).splitlines())


def _result(name: str, wrong: Sequence[str]) -> Result:
    return Result(name, Status.FAILED if wrong else Status.PASSED, diagnostics=tuple(wrong))


def _seen(tc: Toolchain) -> tuple[Abi, Abi]:
    """Returns what the header is for 64-bit and for 32-bit programs."""
    declared = header.names(tc)
    return header.seen(tc, declared, "64-bit"), header.seen(tc, declared, "32-bit")


def broken(recorded: Abi, now: Abi) -> list[str]:
    """Returns a sentence for each change that a program would notice which is compiled already."""
    found: list[str] = []
    for name, structure in recorded.structures.items():
        if name in now.structures:
            found += _broken_structure(name, structure, now.structures[name])
        else:
            found.append(f"struct {name} is gone")
    for name, value in recorded.constants.items():
        if name not in now.constants:
            found.append(f"{name} is gone")
        elif now.constants[name] != value:
            changed = _value(name, now.constants[name])
            found.append(f"{name} is {changed}; it was {_value(name, value)}")
    return found


def _broken_structure(name: str, recorded: Structure, now: Structure) -> Iterator[str]:
    fields = {field.name: field for field in now.fields}
    for field in recorded.fields:
        if field.name not in fields:
            yield f"{name}.{field.name} is gone"
        elif fields[field.name] != field:
            yield f"{name}.{field.name} is {_field(fields[field.name])}; it was {_field(field)}"
    known = {field.name for field in recorded.fields}
    for field in now.fields:
        if field.name not in known and field.offset < recorded.size:
            yield f"{name}.{field.name} is new, and among the {recorded.size} bytes that were there"
    if now.size < recorded.size:
        yield f"struct {name} has {now.size} bytes; it had {recorded.size}"
    elif now.size > recorded.size and recorded.fields[:1] != (SIZE,):
        # Nobody could tell which of its versions a program has.
        yield f"struct {name} has grown, and does not begin with its size"


def added(recorded: Abi, now: Abi) -> list[str]:
    """Returns a sentence for each thing that the record does not have."""
    found: list[str] = []
    for name, structure in now.structures.items():
        if name not in recorded.structures:
            found.append(f"struct {name} is new")
            continue
        size = recorded.structures[name].size
        known = {field.name for field in recorded.structures[name].fields}
        found += [f"{name}.{f.name} is new" for f in structure.fields if f.name not in known]
        if structure.size > size:
            found.append(f"struct {name} has grown from {size} to {structure.size} bytes")
    found += [f"{name} is new" for name in now.constants if name not in recorded.constants]
    return found


def differences(wide: Abi, narrow: Abi) -> list[str]:
    """Returns a sentence for each thing that is not the same for 64-bit and for 32-bit programs."""
    found: list[str] = []
    for name, structure in wide.structures.items():
        other = narrow.structures[name]
        for field, its in zip(structure.fields, other.fields, strict=True):
            if field != its:
                found.append(
                    f"{name}.{field.name} is {_field(field)}, and for 32-bit programs {_field(its)}"
                )
        if structure.size != other.size:
            found.append(
                f"struct {name} has {structure.size} bytes, and for 32-bit programs {other.size}"
            )
    for name, value in wide.constants.items():
        if narrow.constants[name] != value:
            found.append(f"{name} is {value}, and for 32-bit programs {narrow.constants[name]}")
    return found


def write(abi: Abi) -> str:
    """Returns the text of a record."""
    lines = [PREFACE]
    for name, structure in abi.structures.items():
        lines.append(f"struct {name}, {structure.size} bytes")
        lines += [f"  {f.offset:4} {f.size:4}  {f.type:<8}  {f.name}" for f in structure.fields]
        lines.append("")
    lines += [f"{name} = {_value(name, value)}" for name, value in abi.constants.items()]
    return "\n".join(lines) + "\n"


def read(text: str) -> Abi:
    """Reads a record."""
    structures: dict[str, Structure] = {}
    constants: dict[str, int] = {}
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if match := _STRUCTURE.fullmatch(line):
            name = match[1]
            structures[name] = Structure(int(match[2]), ())
        elif name and (match := _FIELD.fullmatch(line)):
            field = Field(match[4], match[3], int(match[1]), int(match[2]))
            before = structures[name]
            structures[name] = Structure(before.size, (*before.fields, field))
        elif match := _CONSTANT.fullmatch(line):
            constants[match[1]] = int(match[2], 0)
        else:
            raise LabError(f"line {number} of the record of the ABI cannot be read: {line}")
    return Abi(structures, constants)


def _field(field: Field) -> str:
    """Says what and where a field is."""
    return f"{field.type} ({field.size} bytes) at {field.offset}"


def _value(name: str, value: int) -> str:
    return f"{value:#x}" if name.startswith(IOCTL) else str(value)
