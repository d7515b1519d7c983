# SPDX-License-Identifier: GPL-2.0
"""``scripts/in-tree``: what the driver becomes in a kernel tree. `make test-in-tree` builds it."""

import subprocess
from email import message_from_string
from email.utils import parseaddr
from pathlib import Path

import pytest

from lab import in_tree, paths
from lab.errors import Exit, HostNotFit, UsageError

FILES = {
    "Makefile": "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n",
    "Documentation/misc-devices/index.rst": ".. toctree::\n\n   max6875\n   uacce\n",
    "Documentation/userspace-api/ioctl/ioctl-number.rst": (
        "'|'   00-7F  linux/media.h\n'|'   80-9F  samples/      Any sample\n0x80  00-1F  fb.h\n"
    ),
    "MAINTAINERS": (
        "Explained.\n\nMaintainers List\n----------------\n\n3C59X NETWORK DRIVER\nF:\ta/\n\n"
        "iSCSI\nF:\tb/\n\nRISC-V\nF:\tc/\n\nTHE REST\nF:\t*\n"
    ),
    "drivers/misc/Kconfig": 'menu "Misc"\nsource "drivers/misc/rp1/Kconfig"\nendmenu\n',
    "drivers/misc/Makefile": "obj-y\t\t\t\t+= keba/\n",
    "tools/testing/selftests/Makefile": "TARGETS += proc\nTARGETS += rtc\nall:\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What is edited of a kernel tree."""
    for name, text in FILES.items():
        (tmp_path / "linux" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "linux" / name).write_text(text)
    return tmp_path / "linux"


def apply(tree: Path, patches: list[Path]) -> None:
    """Applies the patches as `git am` does."""
    for patch in patches:
        subprocess.run(["git", "apply", str(patch)], cwd=tree, check=True)


def test_the_series_applies_and_hooks_the_driver_in(tree: Path, tmp_path: Path) -> None:
    patches = in_tree.write(tree, tmp_path / "out")
    assert [patch.name[:4] for patch in patches] == ["0001", "0002", "0003", "0004", "0005"]
    apply(tree, patches)
    text = {name: (tree / name).read_text() for name in FILES}
    assert 'source "drivers/misc/ringdev/Kconfig"\nendmenu' in text["drivers/misc/Kconfig"]
    assert text["drivers/misc/Makefile"].endswith("obj-$(CONFIG_RINGDEV)\t\t+= ringdev/\n")
    selftests = text["tools/testing/selftests/Makefile"]
    assert "TARGETS += proc\nTARGETS += ringdev\nTARGETS += rtc\n" in selftests
    assert "   max6875\n   ringdev\n   uacce\n" in text["Documentation/misc-devices/index.rst"]
    numbers = text["Documentation/userspace-api/ioctl/ioctl-number.rst"]
    assert "'|'   80-8F  samples/      Any sample\n'|'   90-9F  linux/ringdev.h\n" in numbers
    for name in ("Kconfig", "Makefile", "ringdev_main.rs", "staging/helpers.c", "ring/cursor.rs"):
        assert (tree / "drivers/misc/ringdev" / name).exists()


def test_who_maintains_it_is_in_its_place_and_grows_with_the_series(
    tree: Path, tmp_path: Path
) -> None:
    patches = in_tree.write(tree, tmp_path / "out")
    apply(tree, patches[:2])
    text = (tree / "MAINTAINERS").read_text()
    assert "F:\tb/\n\nRINGDEV NAMED RING BUFFERS\nM:\t" in text
    assert "F:\tdrivers/misc/ringdev/staging/\n" in text
    apply(tree, patches[2:])
    text = (tree / "MAINTAINERS").read_text()
    assert "staging" not in text
    assert "F:\tdrivers/misc/ringdev/\nF:\tinclude/trace/events/ringdev.h\n" in text
    assert "F:\ttools/testing/selftests/ringdev/\n\nRISC-V\n" in text


def test_only_what_is_for_the_tree_is_in_it(tree: Path, tmp_path: Path) -> None:
    apply(tree, in_tree.write(tree, tmp_path / "out"))
    driver = tree / "drivers/misc/ringdev"
    for file in driver.rglob("*"):
        if file.is_file():
            text = file.read_text()
            assert "linux_7_2" not in text, file
            assert "src/" not in text.replace("$(src)/", ""), file
    compat = (driver / "staging/compat.rs").read_text()
    assert "M::THIS_MODULE.as_ptr()" in compat
    assert "transmute" not in compat


def test_the_author_is_the_maintainer_whoever_writes_the_patches(
    tree: Path, tmp_path: Path
) -> None:
    control = (paths.ROOT / "debian/control").read_text()
    [owner] = [line for line in control.splitlines() if line.startswith("Maintainer: ")]
    for patch in in_tree.write(tree, tmp_path / "out"):
        author = message_from_string(patch.read_text())["From"]
        assert parseaddr(author) == parseaddr(owner.removeprefix("Maintainer: "))


def test_nobody_signs_for_others(tree: Path, tmp_path: Path) -> None:
    assert not any("Signed-off-by" in p.read_text() for p in in_tree.write(tree, tmp_path / "out"))


def test_what_is_for_an_old_kernel_goes_with_its_braces() -> None:
    text = (
        "a();\n#[cfg(not(linux_7_2))]\nmod new {\n    b();\n}\n\n"
        "#[cfg(linux_7_2)]\nmod old {\n    fn c() {\n    }\n}\n\nd();\n"
    )
    assert in_tree.without_old(text) == "a();\nmod new {\n    b();\n}\n\nd();\n"


def test_a_tree_that_has_it_already_is_refused(tree: Path, tmp_path: Path) -> None:
    apply(tree, in_tree.write(tree, tmp_path / "out"))
    with pytest.raises(HostNotFit, match=r"has .* already"):
        in_tree.write(tree, tmp_path / "out")


def test_another_folder_is_no_kernel_tree(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kernel tree"):
        in_tree.main([str(tmp_path)])


def test_what_the_trees_scripts_say_is_a_failure(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (
        ("checkpatch.pl", 'echo "$0: WARNING:NOTHING: is good enough"; echo "total: 1 warning"'),
        ("get_maintainer.pl", "true"),
    ):
        script = tree / "scripts" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    arguments = [str(tree), "--out", str(tmp_path / "out"), "--check"]
    assert in_tree.main(arguments) == Exit.TESTS_FAILED
    said = capsys.readouterr().err
    assert said.count("WARNING:NOTHING") == 5
    assert said.count("get_maintainer.pl: nobody") == 5
    assert "total:" not in said


def test_each_file_of_the_series_has_its_content() -> None:
    files = {place: text for patch in in_tree.series() for place, text in patch.files.items()}
    assert [place for place, text in files.items() if len(text.strip()) < 20] == []
    document = files["Documentation/misc-devices/ringdev.rst"]
    assert "RINGDEV_IOC_" in document
    # In the tree no other document stands beside it.
    assert ".rst``" not in document
