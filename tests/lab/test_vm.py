# SPDX-License-Identifier: GPL-2.0
"""``scripts/vm``: a code that is not the command's comes with a line that says so."""

import pytest

from lab import lane, vm
from lab.errors import Exit, HostNotFit, LabError, UsageError


@pytest.mark.parametrize(
    ("error", "code"),
    [(HostNotFit("no"), Exit.HOST_NOT_FIT), (LabError("no"), Exit.BUILD_FAILED)],
)
def test_what_the_lab_lacks_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: LabError,
    code: Exit,
) -> None:
    def prepare(*_: object) -> lane.Lane:
        raise error

    monkeypatch.setattr(lane, "prepare", prepare)
    assert vm.main(["--", "true"]) == code
    assert capsys.readouterr().err == "vm: no\n"


def test_a_variable_that_is_wrong_is_no_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(*_: object) -> lane.Lane:
        raise UsageError("KERNEL=6.1: there are 7.3, 7.2")

    monkeypatch.setattr(lane, "prepare", prepare)
    with pytest.raises(SystemExit) as ended:
        vm.main(["--", "true"])
    assert ended.value.code == vm.USAGE
    assert "vm: KERNEL=6.1" in capsys.readouterr().err
