# SPDX-License-Identifier: GPL-2.0
"""What compilers see in include/uapi/linux/ringdev.h: its structures and constants, and warnings.

Clang tells which there are. Their sizes, places and values are read from an object file, so that
nothing has to run that is compiled for 32 bits.
"""

import json
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import paths
from lab.errors import LabError
from lab.toolchain import Toolchain

NAME = "linux/ringdev.h"
INCLUDE = paths.ROOT / "include/uapi"

# The programs that there are, and what a compiler is told that compiles them.
CLANG = {"64-bit": "--target=x86_64-linux-gnu", "32-bit": "--target=i686-linux-gnu"}
GCC = {"64-bit": "-m64", "32-bit": "-m32"}

# Where Debian keeps <asm/types.h>, which is the same for both; for one, no compiler looks there.
ASM = Path("/usr/include/x86_64-linux-gnu")

# A program may be compiled with all of these.
STRICT = ("-Wall", "-Wextra", "-pedantic", "-Wpadded", "-Werror", "-fsyntax-only")


@dataclass(frozen=True)
class Field:
    """A field of a structure: where it is, and how many bytes it has."""

    name: str
    type: str
    offset: int
    size: int


@dataclass(frozen=True)
class Structure:
    """A structure, with its fields in their order."""

    size: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Abi:
    """All that a compiled program takes from the header, by name, in the header's order."""

    structures: Mapping[str, Structure]
    constants: Mapping[str, int]


@dataclass(frozen=True)
class Names:
    """What the header declares: the types of fields by structure and name, and the constants."""

    structures: Mapping[str, Mapping[str, str]]
    constants: Sequence[str]


@dataclass(frozen=True)
class Compilation:
    """One way in which a program may compile the header."""

    name: str
    # None where the compiler is not there.
    command: Sequence[str] | None
    language: str


def names(tc: Toolchain) -> Names:
    """Returns what the header declares. What is no structure or constant is refused."""
    whole = f"#include <{NAME}>\n"
    # What the header itself includes is not its own.
    text = (INCLUDE / NAME).read_text()
    others = "\n".join(re.findall(r"^#include .*$", text, re.MULTILINE)) + "\n"
    return Names(
        structures=dict(
            _fields(declaration)
            for declaration in _declarations(tc, whole)[len(_declarations(tc, others)) :]
        ),
        constants=_constants(_macros(tc, whole), _macros(tc, others)),
    )


def _declarations(tc: Toolchain, text: str) -> list[dict[str, Any]]:
    """Returns the declarations of a program, as clang writes them down."""
    flags = ("-fsyntax-only", "-Xclang", "-ast-dump=json")
    tree: dict[str, list[dict[str, Any]]] = json.loads(_clang(tc, "64-bit", flags, text))
    return tree["inner"]


def _fields(declaration: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Returns the name of a structure, and the types of its fields by name."""
    name = declaration.get("name", "")
    members = [m for m in declaration.get("inner", []) if m["kind"].endswith("Decl")]
    plain = all(m["kind"] == "FieldDecl" and "name" in m and "isBitfield" not in m for m in members)
    if declaration.get("tagUsed") != "struct" or not name or not members or not plain:
        raise LabError(
            f"'{name}' in {NAME} is no structure of plain fields with names, which is all that the"
            " record of the ABI knows"
        )
    return name, {m["name"]: m["type"]["qualType"] for m in members}


def _macros(tc: Toolchain, text: str) -> dict[str, str]:
    """Returns the macros that are defined at the end of a program."""
    listing = _clang(tc, "64-bit", ("-E", "-dD"), text)
    found = re.findall(r"^#define (\w+(?:\([^)]*\))?) ?(.*)$", listing, re.MULTILINE)
    return dict(found)


def _constants(whole: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Returns the names of the macros that are the header's own and have a value."""
    own = [name for name, value in whole.items() if name not in others and value]
    for name in own:
        if "(" in name:
            raise LabError(
                f"'{name}' in {NAME} is a macro with parameters, which the record of the ABI does"
                " not know"
            )
    return own


def seen(tc: Toolchain, declared: Names, width: str) -> Abi:
    """Returns what the header is for the programs of a width: a key of CLANG."""
    values = iter(_values(tc, width, list(_expressions(declared))))
    structures: dict[str, Structure] = {}
    for name, fields in declared.structures.items():
        size = next(values)
        places = [
            Field(field, type_, next(values), next(values)) for field, type_ in fields.items()
        ]
        structures[name] = Structure(size, tuple(places))
    return Abi(structures, {name: next(values) for name in declared.constants})


def _expressions(declared: Names) -> Iterator[str]:
    """Yields what is to be known of the header, in C."""
    for name, fields in declared.structures.items():
        yield f"sizeof(struct {name})"
        for field in fields:
            yield f"__builtin_offsetof(struct {name}, {field})"
            yield f"sizeof(((struct {name} *)0)->{field})"
    yield from declared.constants


def _values(tc: Toolchain, width: str, expressions: Sequence[str]) -> list[int]:
    """Returns the values of constant expressions in C, as a program of this width has them."""
    lines = "".join(f"\t0LL + ({expression}),\n" for expression in expressions)
    text = (
        f"#include <{NAME}>\n"
        f'const long long values[] __attribute__((section("abi"), used)) = {{\n{lines}}};\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        compiled, values = Path(folder) / "values.o", Path(folder) / "values"
        _clang(tc, width, ("-c", "-o", str(compiled)), text)
        copy = (_llvm(tc, "llvm-objcopy"), "-O", "binary", "--only-section=abi", compiled, values)
        subprocess.run(copy, env=tc.env(), check=True)
        return list(struct.unpack(f"<{len(expressions)}q", values.read_bytes()))


def compilations(tc: Toolchain) -> Iterator[Compilation]:
    """Yields the ways to compile the header: for each language, compiler and width."""
    for language, flags, gcc in (
        ("C99", ("-x", "c", "-std=c99"), "gcc"),
        ("C++", ("-x", "c++", "-std=c++11"), "g++"),
    ):
        found = shutil.which(gcc, path=tc.env()["PATH"])
        for width, target in CLANG.items():
            clang = (_llvm(tc, "clang"), target, *flags)
            other = (found, GCC[width], *flags) if found else None
            yield Compilation(f"{language}, clang, {width}", clang, language)
            yield Compilation(f"{language}, {gcc}, {width}", other, language)


def complaints(command: Sequence[str], declared: Names) -> str:
    """Returns what a compiler says of a program that includes the header alone, and uses it all."""
    uses = [*(f"struct {name}" for name in declared.structures), *declared.constants]
    text = f"#include <{NAME}>\n" + "".join(
        f"typedef char use_{number}[sizeof({use})];\n" for number, use in enumerate(uses)
    )
    run = _run((*command, *STRICT), text)
    return run.stderr if run.returncode else ""


def _clang(tc: Toolchain, width: str, flags: Sequence[str], text: str) -> str:
    """Runs clang for a program of this width, and returns what it prints."""
    run = _run((_llvm(tc, "clang"), CLANG[width], "-x", "c", *flags), text)
    if run.returncode:
        raise LabError(f"{NAME} does not compile for {width} programs:\n{run.stderr}")
    return run.stdout


def _run(command: Sequence[str], text: str) -> "subprocess.CompletedProcess[str]":
    """Has a compiler read a program."""
    return subprocess.run(
        [*command, "-I", str(INCLUDE), "-idirafter", str(ASM), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def _llvm(tc: Toolchain, name: str) -> str:
    return str(tc.tool("llvm") / name)
