# SPDX-License-Identifier: GPL-2.0
"""What is to be installed for what is missing, and when it is not installed."""

from collections.abc import Mapping

import pytest

from lab import packages, toolchain
from lab.errors import HostNotFit
from lab.packages import Packages
from lab.toolchain import MINIMUM, Survey

DEBIAN_12 = {
    "rustc": "1.63.0+dfsg1-2",
    "rustc-web": "1.96.0+dfsg1-1~deb12u2",
    "cargo-web": "1.96.0+dfsg1-1~deb12u2",
    "clang": "1:14.0-55.7~deb12u1",
    "clang-16": "1:16.0.6-15~deb12u1",
    "clang-19": "1:19.1.7-3~deb12u1",
    "clang-22": "1:22.1.8-1~deb12u1",
    "bindgen": "0.60.1-2+b2",
}
DEBIAN_13 = {
    "rustc": "1.85.0+dfsg3-1",
    "rustc-web": "1.94.0+dfsg1-1~deb13u1",
    "clang": "1:19.0-63",
    "clang-19": "1:19.1.7-3+b1",
    "bindgen": "0.71.1-4",
}
UBUNTU_24_04 = {
    "rustc": "1.75.0+dfsg0ubuntu1-0ubuntu7.1",
    "rustc-1.82": "1.82.0+dfsg0ubuntu1-0ubuntu0.24.04.2",
    "rustc-1.89": "1.89.0+dfsg0ubuntu1-0ubuntu0.24.04.1",
    "clang": "1:18.0-59~exp2",
    "bindgen": "0.66.1-4",
    "bindgen-0.71": "0.71.1-4~24.04",
}


@pytest.mark.parametrize(
    ("available", "missing", "chosen"),
    [
        (DEBIAN_12, {"rustc", "rust-src"}, ["rust-web-src", "rustc-web"]),
        (DEBIAN_12, {"llvm"}, ["clang-22", "lld-22", "llvm-22"]),
        (DEBIAN_12, {"bindgen"}, ["ca-certificates", "cargo-web", "gcc", "libc6-dev"]),
        (DEBIAN_12, {"libc-32"}, ["gcc-multilib"]),
        (DEBIAN_12, {"sanitizers"}, ["libclang-rt-22-dev"]),
        (DEBIAN_12, {"clippy", "rustfmt"}, ["rust-web-clippy", "rustfmt-web"]),
        (DEBIAN_13, {"rustc", "rust-src"}, ["rust-src", "rustc"]),
        (DEBIAN_13, {"llvm"}, ["clang", "lld", "llvm"]),
        (DEBIAN_13, {"bindgen"}, ["bindgen"]),
        (DEBIAN_13, {"sanitizers"}, ["libclang-rt-19-dev"]),
        (
            UBUNTU_24_04,
            {"rustc", "rust-src", "cargo"},
            ["cargo-1.89", "rust-1.89-src", "rustc-1.89"],
        ),
        (UBUNTU_24_04, {"bindgen"}, ["bindgen-0.71"]),
        (UBUNTU_24_04, {"flex", "qemu"}, ["flex", "qemu-system-x86"]),
    ],
)
def test_packages(available: Mapping[str, str], missing: set[str], chosen: list[str]) -> None:
    assert Packages(available).choose(missing, MINIMUM) == chosen


def test_apt_cache_policy_is_read() -> None:
    text = (
        "clang-22:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n  Version table:\n"
        "     1:22.1.8-1~deb12u1 500\n        500 mirror bookworm-security/main amd64 Packages\n"
        "libclang-99-dev:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
    )
    assert packages.parse_policy(text).candidates == {"clang-22": "1:22.1.8-1~deb12u1"}


def test_apt_cache_policy_tells_what_is_installed_and_what_else_is_on_offer() -> None:
    text = (
        "cargo-web:\n  Installed: 1.85.0-1\n  Candidate: 1.96.0-2\n  Version table:\n"
        "     1.96.0-2 500\n        500 mirror security/main amd64 Packages\n"
        "     1.90.0-1 500\n        500 mirror stable/main amd64 Packages\n"
        "        400 mirror other/main amd64 Packages\n"
        " *** 1.85.0-1 100\n        100 /var/lib/dpkg/status\n"
    )
    known = packages.parse_policy(text)
    assert known.candidates == {"cargo-web": "1.96.0-2"}
    assert known.installed == {"cargo-web": "1.85.0-1"}
    assert known.offered == {"cargo-web": ["1.96.0-2", "1.90.0-1"]}


def test_versions_that_ubuntu_offers_to_some_are_on_offer() -> None:
    text = (
        "clang-19:\n  Installed: 1:19.1.7-3\n  Candidate: 1:19.1.7-3\n  Version table:\n"
        " *** 1:19.1.7-3 500\n        500 mirror noble/main amd64 Packages\n"
        "libclang-rt-19-dev:\n  Installed: (none)\n  Candidate: 1:19.1.8-1\n  Version table:\n"
        "     1:19.1.8-1 500 (phased 40%)\n        500 mirror updates/main amd64 Packages\n"
        "lld-19:\n  Installed: (none)\n  Candidate: 1:19.1.8-1\n  Version table:\n"
        "     something else\n        500 mirror updates/main amd64 Packages\n"
    )
    known = packages.parse_policy(text)
    assert known.offered == {"clang-19": ["1:19.1.7-3"], "libclang-rt-19-dev": ["1:19.1.8-1"]}


def test_an_epoch_is_no_version() -> None:
    assert Packages({"clang": "1:14.0-55"}).version("clang") == (14, 0)
    assert Packages({"bc": "1.07.1-3"}).version("bc") == (1, 7, 1)
    assert Packages({}).version("clang") == ()


def test_nothing_is_installed_when_that_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_INSTALL", "1")
    monkeypatch.setattr(Packages, "known", lambda: Packages({"gdb": "13.1-3"}))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages, "_run_apt", lambda *_: pytest.fail("apt-get was run"))
    monkeypatch.setattr(Survey, "get", lambda *_: None)
    with pytest.raises(HostNotFit) as caught:
        toolchain.find(want={"gdb"})
    assert "apt-get install --yes --no-install-recommends gdb" in str(caught.value)
    assert "make gdb starts it" in str(caught.value)
    assert capfd.readouterr().out == ""


def test_elsewhere_than_on_debian_the_tools_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(Survey, "get", lambda *_: None)
    with pytest.raises(HostNotFit) as caught:
        toolchain.find(lane="plain", want={"kernel"})
    for word in ("bindgen", "flex", "rustc 1.85.0", "llvm 17.0.1"):
        assert word in str(caught.value)
