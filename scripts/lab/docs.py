# SPDX-License-Identifier: GPL-2.0
"""``make docs``: the documents as pages, and rustdoc of the module and the client library.

The pages are in target/docs, from index.html on. The manual pages are in packaging/man, as they are
installed, and recorded: who installs ringdev needs no Sphinx. A warning of any tool is an error:
`make lint` makes all of it, elsewhere, to see that, and whether the manual pages are those of their
sources.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lab import cargo, command, kernel, module, paths, pytools, toolchain
from lab.errors import Exit, LabError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

DOCUMENTS = paths.ROOT / "Documentation"
PAGES = paths.ROOT / "target/docs"
MANUAL = paths.ROOT / "packaging/man"
REQUIREMENTS = paths.ROOT / "scripts/requirements-docs.txt"
HEAD = (
    '.\\" SPDX-License-Identifier: GPL-2.0\n.\\" Written by `make docs` from Documentation/man.\n'
)


def write(tree: Kernel, tc: Toolchain, out: Path) -> None:
    """Writes all pages into the folder ``out``, which is made anew."""
    with paths.atomic_dir(out) as folder:
        sphinx("html", tc, folder)
        cargo.document(tc, folder / "rust/client")
        module.document(tree, tc, folder / "rust/module")


def manual(tc: Toolchain) -> dict[str, str]:
    """Returns the manual pages by their files' names."""
    with tempfile.TemporaryDirectory() as folder:
        sphinx("man", tc, Path(folder))
        return {
            page.name: HEAD + page.read_text() for page in Path(folder).iterdir() if page.is_file()
        }


def outdated(pages: Mapping[str, str], folder: Path = MANUAL) -> list[str]:
    """Returns the names of the recorded pages that are not these, and of those that are missing."""
    recorded = {page.name: page.read_text() for page in folder.iterdir()}
    names = sorted(pages.keys() | recorded.keys())
    return [name for name in names if pages.get(name) != recorded.get(name)]


def sphinx(builder: str, tc: Toolchain, out: Path) -> None:
    """Has a builder of Sphinx write into ``out``; a warning fails, after all were collected."""
    python = pytools.python(tc, REQUIREMENTS)
    log = paths.cache() / f"logs/sphinx-{builder}.log"
    # What it keeps for a next run is not worth it: all of it takes seconds.
    with tempfile.TemporaryDirectory() as doctrees, log.open("w") as output:
        code = command.run(
            [
                *(str(python), "-m", "sphinx", "-W", "--keep-going", "-n", "-q"),
                *("-b", builder, "-d", doctrees, str(DOCUMENTS), str(out)),
            ],
            env=tc.env(),
            log=output,
        )
    if code:
        raise LabError(f"sphinx ({builder}):\n{log.read_text().rstrip()}")


def check(tree: Kernel, tc: Toolchain) -> None:
    """Makes all of it and keeps nothing, for the sake of the warnings."""
    with tempfile.TemporaryDirectory() as scratch:
        write(tree, tc, Path(scratch) / "docs")
    if names := outdated(manual(tc)):
        where = MANUAL.relative_to(paths.ROOT)
        raise LabError(f"'make docs' writes {where} anew, and has to: {', '.join(names)}")


def main(argv: list[str]) -> int:
    """Runs ``make docs``."""
    argparse.ArgumentParser(prog="make docs", description=__doc__).parse_args(argv)
    tc = toolchain.find(lane="plain", want={"kernel", "docs"})
    write(kernel.ensure("plain", tc), tc, PAGES)
    with paths.atomic_dir(MANUAL) as folder:
        for name, text in manual(tc).items():
            (folder / name).write_text(text)
    print(PAGES / "index.html")
    return Exit.PASSED
