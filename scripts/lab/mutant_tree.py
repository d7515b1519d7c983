# SPDX-License-Identifier: GPL-2.0
"""Copies of this tree, in which mutants are made: the tree itself is never touched.

Each copy stays in the cache, so that a build in it goes on from the last one. It is a repository of
its own, because some of the lab's tests and linters ask git for files.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import environment, mutant, paths
from lab.errors import LabError
from lab.mutant import Edit


class Tree:
    """A copy of the tree. One thread uses it at a time."""

    def __init__(self, number: int) -> None:
        """Makes the copy, or brings an old one up to date."""
        self.home = paths.cache() / "mutants" / paths.clone_id() / str(number)
        self.root = self.home / "tree"
        self.home.mkdir(parents=True, exist_ok=True)
        self._clone()
        names = _files(paths.ROOT)
        for name in set(_files(self.root)) - set(names):
            (self.root / name).unlink(missing_ok=True)
        for name in names:
            update(paths.ROOT / name, self.root / name)

    def _clone(self) -> None:
        head = _git(paths.ROOT, "rev-parse", "HEAD").strip()
        if not (self.root / ".git").is_dir():
            shutil.rmtree(self.root, ignore_errors=True)
            _git(self.home, "clone", "--quiet", "--no-checkout", str(paths.ROOT), "tree")
        else:
            _git(self.root, "fetch", "--quiet", str(paths.ROOT), head)
        # The files are copied: what is not committed is tested as well.
        _git(self.root, "update-ref", "--no-deref", "HEAD", head)
        _git(self.root, "read-tree", "HEAD")

    @contextmanager
    def with_edits(self, edits: Sequence[Edit]) -> Iterator[None]:
        """Makes a mutant of the copy; raises mutant.DoesNotApply if that cannot be."""
        mutant.apply(edits, self.root)
        try:
            yield
        finally:
            for edit in edits:
                update(paths.ROOT / edit.file, self.root / edit.file)


def update(source: Path, target: Path) -> None:
    """Copies a file, unless that would change nothing: builds go by the times of files."""
    if source.is_symlink():
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.readlink())
        return
    content, mode = source.read_bytes(), source.stat().st_mode
    if target.is_file() and target.read_bytes() == content and target.stat().st_mode == mode:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(mode)


def _files(root: Path) -> list[str]:
    listing = _git(root, "ls-files", "-z", "--cached", "--others", environment.GITIGNORE)
    names = dict.fromkeys(name for name in listing.split("\0") if name)
    return [name for name in names if os.path.lexists(root / name)]


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise LabError(f"git {arguments[0]} fails in {folder}: {run.stderr.strip()}")
    return run.stdout
