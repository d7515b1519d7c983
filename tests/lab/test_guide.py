# SPDX-License-Identifier: GPL-2.0
"""The examples of the guide: which there are, and what a shell is told to do for one."""

import subprocess

import pytest

from lab import guide
from lab.errors import LabError


def test_the_guide_shows_each_file_of_its_folder_once() -> None:
    document = guide.DOCUMENT.read_text()
    shown = [line for line in document.splitlines() if "literalinclude::" in line]
    there = {file.name for file in guide.FOLDER.iterdir()}
    assert sorted(line.rpartition("/")[2] for line in shown) == sorted(there)
    assert len(guide.examples(document)) == len([name for name in there if name.endswith(".txt")])


def test_examples_are_in_the_order_of_the_guide() -> None:
    document = (
        "Text.\n\n.. literalinclude:: guide/two.txt\n   :language: none\n\n"
        ".. literalinclude:: guide/program.c\n\n.. literalinclude:: guide/one.txt\n"
    )
    assert guide.examples(document) == ["two", "one"]


def shell(transcript: str) -> str:
    """Returns what a shell shows that runs the example."""
    command = ["sh", "-c", guide.script(transcript)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_what_is_as_it_should_be_shows_itself() -> None:
    transcript = "# echo 'one  two'\none  two\n# for i in 1 2; do\n>     echo $i\n> done\n1\n2\n"
    assert shell(transcript) == transcript


def test_what_is_printed_otherwise_shows_otherwise() -> None:
    assert shell("# echo one\ntwo\n") == "# echo one\none\n"


def test_one_shell_runs_all_commands() -> None:
    transcript = "# here=there\n# echo $here\nthere\n"
    assert shell(transcript) == transcript


def test_output_without_a_command_is_refused() -> None:
    with pytest.raises(LabError, match="begins with"):
        guide.script("hello\n# echo hello\nhello\n")
