# SPDX-License-Identifier: GPL-2.0
"""Which errnos the document is found to name, and which the tests are found to check for."""

from pathlib import Path

import pytest

from lab import errnos
from lab.errnos import Pair
from lab.ktap import Status

DOCUMENT = """\
.. SPDX-License-Identifier: GPL-2.0

=====
Title
=====

Kinds
=====

====== ============ ========
choice value        meaning
====== ============ ========
full   ``BLOCK``    or ``ENOBUFS``
====== ============ ========

``EPERM``   is no row of a table.

write, writev
=============

=========== ================
0           the end
``EAGAIN``  full, else
            ``EIO``
``EPIPE``   hangup
=========== ================

Or ``ENOSYS``.

ioctl
=====

=========== ================
``E2BIG``   too long
=========== ================

On an endpoint
--------------

``FIONREAD``
    A number.

``RINGDEV_IOC_CURSOR``
    Something. ``EBADF`` if
    it does not, ``EINVAL`` else.

On /dev/ring/control
--------------------

It needs this, else ``EBADF``.

``RINGDEV_IOC_CREATE``
    Makes it.

    =========== ============
    ``EDQUOT``  too much
    =========== ============

    Or ``EINVAL``.

poll
====

``POLLERR``
    when a write would answer ``ENODEV``
"""

NAMED = [
    "write EAGAIN",
    "write EPIPE",
    "ioctl E2BIG",
    "CURSOR EBADF",
    "CURSOR EINVAL",
    "control EBADF",
    "CREATE EDQUOT",
    "CREATE EINVAL",
]

TEST = """\
// errno: write EAGAIN EPIPE
// errno: ioctl E2BIG
fn test() {
    assert_eq!(f(), Errno::EAGAIN);
    assert_eq!(f(), Errno::EPIPE);
    assert_eq!(f(), -libc::E2BIG);
}

fn other() {
    // errno: CURSOR EBADF EINVAL
    // errno: control EBADF
    // errno: CREATE EDQUOT EINVAL
    for error in [EBADF, EINVAL, EDQUOT] {}
}
"""


@pytest.fixture(autouse=True)
def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document, and tests that check for all that it names."""
    monkeypatch.setattr(errnos, "DOCUMENT", tmp_path / "api.rst")
    monkeypatch.setattr(errnos, "TESTS", tmp_path / "src")
    errnos.TESTS.mkdir()
    (errnos.TESTS / "io.rs").write_text(TEST)
    errnos.DOCUMENT.write_text(DOCUMENT)


def failures() -> dict[str, list[str]]:
    """Returns what the tests that failed have said."""
    return {r.name: list(r.diagnostics) for r in errnos.tests("") if r.status is Status.FAILED}


def test_tables_and_lists_of_ioctls_are_read() -> None:
    assert [str(pair) for pair in errnos.documented(DOCUMENT)] == NAMED


def test_all_is_well() -> None:
    assert failures() == {}
    assert len(errnos.tests("")) == 2
    assert len(errnos.tests("each_tested*")) == 1


def test_what_is_documented_and_not_tested_is_red() -> None:
    (errnos.TESTS / "io.rs").write_text(TEST.replace("EAGAIN EPIPE", "EAGAIN"))
    assert failures() == {
        "each_documented_errno_is_tested": ["api.rst:25: no test has '// errno: write EPIPE'"]
    }


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("``EPIPE``   hangup", "``ENODEV``  gone",
         "io.rs:1: api.rst does not name write EPIPE"),
        ("write, writev\n=============", "ioctl\n=====",
         "io.rs:1: api.rst does not name write EAGAIN; its calls are CREATE CURSOR control ioctl"),
    ],
)  # fmt: skip
def test_what_is_tested_and_not_documented_is_red(before: str, after: str, sentence: str) -> None:
    assert before in DOCUMENT
    errnos.DOCUMENT.write_text(DOCUMENT.replace(before, after))
    assert sentence in failures()["each_tested_errno_is_documented"]
    assert "each_documented_errno_is_tested" in failures()


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("// errno: ioctl E2BIG", "// errno: E2BIG",
         "io.rs:2: not as in '// errno: write EAGAIN EPIPE': // errno: E2BIG"),
        ("// errno: ioctl E2BIG", "// errno: ioctl E2BIG: too long",
         "io.rs:2: not as in '// errno: write EAGAIN EPIPE': // errno: ioctl E2BIG: too long"),
        ("-libc::E2BIG", "-7", "io.rs:2: what stands below it does not name E2BIG"),
        ("\nfn test() {", "\n\nfn test() {",
         "io.rs:1: what stands below it does not name EPIPE"),
        ("EINVAL, EDQUOT]", "EINVAL]",
         "io.rs:12: what stands below it does not name EDQUOT"),
    ],
)  # fmt: skip
def test_a_marker_that_means_nothing_is_red(before: str, after: str, sentence: str) -> None:
    assert before in TEST
    (errnos.TESTS / "io.rs").write_text(TEST.replace(before, after))
    assert sentence in failures()["each_tested_errno_is_documented"]


def test_a_document_that_cannot_be_read_is_red() -> None:
    errnos.DOCUMENT.write_text("")
    assert failures()["each_documented_errno_is_tested"] == ["api.rst names no errno at all"]


def test_our_document_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = errnos.documented(errnos.DOCUMENT.read_text())
    assert {Pair("write", "EAGAIN"), Pair("EVICT", "EINVAL"), Pair("control", "EBADF")} < set(found)
