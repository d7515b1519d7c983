# SPDX-License-Identifier: GPL-2.0
"""The shell scripts, run on the host.

What they call that needs root or a guest is a program of the test, which behaves as the real one as
far as the script depends on it. A folder that a script finds at a fixed place is below the test's.
"""

import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import paths

PLACES = ("/etc", "/lab", "/lib/modules", "/mnt", "/tmp", "/usr", "/var/lib/dkms", "/work")


class Machine:
    """A machine with the programs of a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        # What the programs were told, in order.
        self.log = root / "calls"
        self.log.touch()

    def program(self, name: str, text: str = "") -> None:
        """Makes a program that notes its arguments and then does what the text says."""
        file = self.bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{self.placed(text)}\n')
        file.chmod(0o755)

    def placed(self, text: str) -> str:
        """Returns a script with the fixed places below this machine's folder."""
        places = "|".join(re.escape(place) for place in PLACES)
        # What is there already stays: it may itself be below such a place.
        parts = text.split(str(self.root))
        found = re.compile(rf"(?<![\w./}}])({places})(?![\w-])")
        return str(self.root).join(found.sub(rf"{self.root}\1", part) for part in parts)

    def run(
        self, script: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a script of this tree."""
        return self.run_text((paths.ROOT / script).read_text(), *arguments, env=env)

    def run_text(
        self, text: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the text of a script."""
        file = self.root / "script"
        file.write_text(self.placed(text))
        return subprocess.run(
            ["sh", str(file), *arguments],
            env={"PATH": f"{self.bin}:/usr/bin:/bin:/usr/sbin:/sbin", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.root,
            timeout=60,
        )

    def calls(self, name: str = "") -> list[str]:
        """Returns what the programs were told, or one of them."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if not name or line.partition(" ")[0] == name]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Returns a machine without programs of its own."""
    return Machine(tmp_path)


# The ways into the lab.


@pytest.mark.parametrize("script", ["scripts/vm", "scripts/in-tree"])
def test_a_short_name_of_a_verb_runs_it(script: str) -> None:
    run = subprocess.run(
        [paths.ROOT / script, "--help"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"usage: {script} ")


WITHOUT_PYTHON = ("id", "dirname", "env", "sed", "sh")


@pytest.mark.parametrize("uid", ["0", "1000"])
def test_python_is_installed_where_there_is_none(machine: Machine, uid: str) -> None:
    (machine.root / "lab").mkdir()
    machine.program("id", f"echo {uid}")
    # apt-get installs a Python that says what it was called with.
    machine.program("apt-cache")
    machine.program("sudo", 'exec "$@"')
    machine.program(
        "apt-get",
        f"[ $1 = update ] || printf '#!/bin/sh\\necho {machine.bin}/python3\\n'"
        f" >{machine.bin}/python3; chmod +x {machine.bin}/python3 2>/dev/null || :",
    )
    for name in set(WITHOUT_PYTHON) - {"id"}:
        (machine.bin / name).symlink_to(f"/bin/{name}")
    for name in ("chmod", "printf"):
        (machine.bin / name).symlink_to(f"/usr/bin/{name}")
    run = machine.run("scripts/lab.sh", "clean", env={"PATH": str(machine.bin)})
    assert run.returncode == 0, run.stderr
    assert "installing python3" in run.stderr
    assert machine.calls("apt-get") == ["apt-get install --yes --no-install-recommends python3"]
    assert len(machine.calls("sudo")) == (0 if uid == "0" else 2)


def test_the_doctor_installs_no_python(machine: Machine) -> None:
    machine.program("apt-get")
    machine.program("id", "echo 0")
    for name in set(WITHOUT_PYTHON) - {"id"}:
        (machine.bin / name).symlink_to(f"/bin/{name}")
    run = machine.run("scripts/lab.sh", "doctor", env={"PATH": str(machine.bin)})
    assert run.returncode == 200
    assert "apt-get install --yes --no-install-recommends python3" in run.stderr
    assert machine.calls("apt-get") == []


@pytest.mark.parametrize("failing", ["lint", "bench", "mutants", "test", "nothing"])
def test_ci_runs_all_and_fails_if_one_of_it_does(machine: Machine, failing: str) -> None:
    machine.program("make", f'echo "the last line of make $1"; [ "$1" != {failing} ] || exit 2')
    (machine.root / ".ci").mkdir()
    run = subprocess.run(
        [paths.ROOT / ".ci/run"],
        env={"PATH": f"{machine.bin}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == (0 if failing == "nothing" else 2)
    assert run.stdout.splitlines()[-1] == "the last line of make test"
    names = [call.split()[1] for call in machine.calls("make")]
    assert names == ["lint", "bench", "mutants", "test"]


# What runs in a guest.


def test_the_demonstration_shows_each_command_and_what_it_prints(machine: Machine) -> None:
    demo = (paths.ROOT / "scripts/lab/guest/demo").read_text()
    functions, _, _ = demo.partition("\ncd /lib")
    run = machine.run_text(
        f"{functions}\nshow 'echo one; echo two' '*two'\nshow 'echo three' 'four'\nshow true ''\n"
        'exit "$failures"\n'
    )
    assert run.returncode == 1
    assert run.stdout.splitlines() == [
        *("# echo one; echo two", "one", "two"),
        *("# echo three", "three", ">>> this is not as it has to be: four"),
        "# true",
    ]


def test_the_guest_ends_when_the_host_has_everything(machine: Machine) -> None:
    (machine.root / "lab").mkdir()
    (machine.root / "lab/spec").write_text("NONCE=n MODULE= LOAD= KUNIT= COMMAND=\n")
    steps = ("kasan_begin", "kmemleak_begin", "kmemleak_end", "report_aids", "report_log")
    functions = "".join(f"{step}() {{ :; }}\n" for step in steps)
    # The host answers as soon as it was told of the end, in a pipe of each direction.
    (machine.root / "lab/lib.sh").write_text(
        f"{functions}"
        'say() { echo "say $*" >>"$CALLS"; }\n'
        'set_up() { mkfifo pipe; exec 3<>pipe; (sleep 0.2; echo "host" >>"$CALLS"; echo >&3) & }\n'
    )
    machine.program("reboot")
    init = (paths.ROOT / "scripts/lab/guest/init").read_text()
    # A reboot does not return.
    init = init.replace("reboot -f\n", "reboot -f\nexit\n")
    machine.run_text(init, env={"CALLS": str(machine.log)})
    calls = machine.calls()
    assert calls[-3:] == ["say end", "host", "reboot -f"]


def test_what_is_mounted_in_a_guest_has_its_folder() -> None:
    text = (paths.ROOT / "scripts/lab/guest/lib.sh").read_text()
    # What the kernel has made, before anything is mounted or by what is mounted there.
    known = "/proc /sys /dev /tmp /run /sys/kernel/debug /sys/kernel/tracing /sys/fs/cgroup"
    [set_up] = re.findall(r"^set_up\(\) \{\n(.*?)^\t# The ports", text, re.MULTILINE | re.DOTALL)
    script = (
        f"known='{known}'\n"
        'mkdir() { shift; known="$known $*"; }\n'
        "mount() { for last; do :; done\n"
        'case " $known " in *" $last "*) ;; *) echo "no folder for $last"; esac; }\n'
        "ln() { :; }\n"
        f"{set_up}"
    )
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert run.stdout == ""


def test_who_waits_for_a_command_looks_now_and_then(machine: Machine) -> None:
    machine.program("usleep")
    run = machine.run_text(
        (paths.ROOT / "tests/samples/lib.sh").read_text()
        + "tries=0\nthird() { tries=$((tries + 1)); [ $tries = 3 ]; }\nwait_until third\n"
    )
    assert run.returncode == 0, run.stderr
    assert machine.calls("usleep") == ["usleep 10000"] * 2


# What runs in folders of its own.


def test_a_command_in_a_root_finds_what_it_needs_there(machine: Machine) -> None:
    for folder in ("root", "work", "folder", "mnt"):
        (machine.root / folder).mkdir()
    # An overlay has what is below; here it is made where it is mounted.
    machine.program("chroot", 'shift; exec "$@"')
    made = '[ "$1" != "-t" ] || [ "$2" != overlay ] || mkdir -p /mnt/root/proc /mnt/root/dev'
    machine.program("mount", f'for last; do :; done; [ -d "$last" ] || exit 32\n{made}')
    words = [str(machine.root / name) for name in ("root", "work", "folder")]
    run = machine.run("scripts/lab/enter", *words, "--", "echo", "it runs")
    assert run.stdout == "it runs\n", run.stderr
    mounts = machine.calls("mount")
    assert f"mount --bind {words[2]} {machine.root}/mnt/root{words[2]}" in mounts
    assert any("remount,bind,ro" in mount for mount in mounts)


def test_a_command_with_copies_of_folders_runs_after_they_are_there(machine: Machine) -> None:
    for folder in ("one", "two", "mnt"):
        (machine.root / folder).mkdir()
    machine.program("mount")
    folders = [str(machine.root / name) for name in ("one", "two")]
    run = machine.run("scripts/lab/overlay", *folders, "--", "sh", "-c", "echo it runs; exit 3")
    assert (run.returncode, run.stdout) == (3, "it runs\n")
    overlays = [call for call in machine.calls("mount") if "overlay" in call]
    assert [call.rpartition(" ")[2] for call in overlays] == folders


# The packages.


def archive(machine: Machine, name: str, *files: str) -> None:
    """Makes an archive of a release."""
    (machine.root / "work/dist").mkdir(parents=True, exist_ok=True)
    with tarfile.open(machine.root / f"work/dist/{name}.tar.gz", "w:gz") as tar:
        for file in files:
            tar.add(os.devnull, file)


def test_packages_are_built_of_both_archives(machine: Machine) -> None:
    archive(machine, "ringdev-1.0", "ringdev-1.0/Makefile")
    archive(machine, "ringdev-1.0-vendor", "vendor/config.toml")
    (machine.root / "tmp").mkdir()
    machine.program(
        "dpkg-buildpackage",
        "test -e Makefile && test -e vendor/config.toml || exit 1\n"
        "touch ../ringctl.deb ../ringdev.changes",
    )
    machine.program("lintian")
    run = machine.run("tests/packages/build", "1.0")
    assert run.returncode == 0, run.stderr
    assert (machine.root / "work/debs/ringctl.deb").exists()
    assert [call.split()[-1] for call in machine.calls("dpkg-buildpackage")] == ["-S", "-b"]


def kernels(machine: Machine) -> "subprocess.CompletedProcess[str]":
    """Makes the kernels of a machine."""
    (machine.root / "build").mkdir()
    machine.program("depmod")
    return machine.run("tests/packages/kernels", "7.3.4-lab", str(machine.root / "build"))


def test_a_machine_has_a_kernel_that_will_do_and_three_that_will_not(machine: Machine) -> None:
    assert kernels(machine).returncode == 0
    modules = machine.root / "lib/modules"
    configs = {
        path.name: (path / "build/include/config/auto.conf").read_text()
        for path in modules.glob("7.3.4-*o*t*")
    }
    others = ["7.3.4-of-another-rustc", "7.3.4-without-metadata", "7.3.4-without-rust"]
    assert sorted(configs) == others
    with_rust = [name for name in others if "CONFIG_RUST=y" in configs[name]]
    assert with_rust == ["7.3.4-of-another-rustc", "7.3.4-without-metadata"]
    other_rustc = [name for name in others if "CONFIG_RUSTC_VERSION_TEXT" in configs[name]]
    assert other_rustc == ["7.3.4-of-another-rustc"]
    having = {path.parts[-4] for path in modules.glob("7.3.4-*/build/rust/*.rmeta")}
    assert having & set(others) == {"7.3.4-of-another-rustc", "7.3.4-without-rust"}


# A DKMS that does what it should, for one version of one module.
DKMS = """
module=/lib/modules/7.3.4-lab/ringdev.ko
case $1 in
build) case $* in *without*|*another*) exit 77 ;; esac ;;
install) touch "$module" ;;
status) [ ! -e "$module" ] || echo 'ringdev/1.0, 7.3.4-lab, x86_64: installed' ;;
remove) rm -f "$module" ;;
esac
"""


def packaged(machine: Machine) -> None:
    """Prepares a machine for the scripts that install."""
    assert kernels(machine).returncode == 0
    archive(machine, "ringdev-1.0", "ringdev-1.0/dkms.conf")
    for folder in ("tmp", "var/lib/dkms", "work/debs", "etc", "usr/share/man"):
        (machine.root / folder).mkdir(parents=True)
    machine.program("dkms", DKMS)
    machine.program("modinfo", 'case $* in *vermagic*) echo "7.3.4-lab SMP" ;; *) echo 1.0 ;; esac')
    machine.program("run-parts")
    machine.program("getent")
    machine.program("ringctl", "echo ringctl 1.0")
    copy = machine.root / "work/kernels"
    copy.write_text("#!/bin/sh\n")
    copy.chmod(0o755)


def install(machine: Machine) -> "subprocess.CompletedProcess[str]":
    """Runs the test that installs the packages; dpkg does what they do."""
    rules = "/usr/lib/udev/rules.d"
    pages = "man1/ringctl.1 man4/ring.4 man7/ringdev.7"
    machine.program(
        "dpkg",
        f"""case $1 in
--install)
    dkms install; mkdir -p {rules}; echo 'GROUP="ringdev"' >{rules}/60-ringdev.rules
    for page in {pages}; do
        mkdir -p /usr/share/man/${{page%/*}}
        touch /usr/share/man/$page.gz
    done ;;
--purge) dkms remove; rm -r {rules}; find /usr/share/man -name '*.gz' -delete ;;
esac""",
    )
    return machine.run("tests/packages/install", "1.0", "7.3.4-lab", str(machine.root / "build"))


SCRIPTS = pytest.mark.parametrize("script", ["dkms", "install"])


def packages(machine: Machine, script: str) -> "subprocess.CompletedProcess[str]":
    """Runs one of the tests of the packages."""
    if script == "install":
        return install(machine)
    return machine.run("tests/packages/dkms", "1.0", "7.3.4-lab", str(machine.root / "build"))


@SCRIPTS
def test_packages_that_do_what_they_should_pass(machine: Machine, script: str) -> None:
    packaged(machine)
    run = packages(machine, script)
    assert run.returncode == 0, run.stderr


@SCRIPTS
@pytest.mark.parametrize("hook", ["postinst.d", "header_postinst.d"])
@pytest.mark.parametrize(
    "kernel", ["7.3.4-without-rust", "7.3.4-without-metadata", "7.3.4-of-another-rustc"]
)
def test_a_module_for_a_kernel_that_cannot_have_it_fails(
    machine: Machine, script: str, hook: str, kernel: str
) -> None:
    packaged(machine)
    machine.program(
        "run-parts",
        f"case $* in *{kernel}*/kernel/{hook}) touch /lib/modules/{kernel}/ringdev.ko ;; esac",
    )
    assert packages(machine, script).returncode != 0


@SCRIPTS
def test_a_module_that_stays_behind_fails(machine: Machine, script: str) -> None:
    packaged(machine)
    machine.program("dkms", DKMS.replace('rm -f "$module"', "touch /usr/left"))
    assert packages(machine, script).returncode != 0


# The kernel tree.

# A kbuild that wants to be told of each change to its configuration.
KBUILD = """
case $* in
*olddefconfig) cp "$BUILD/.config" "$BUILD/known" ;;
*bzImage*)
    cmp "$BUILD/.config" "$BUILD/known" || exit 1
    mkdir -p "$BUILD/drivers/misc/ringdev" "$BUILD/arch/x86/boot"
    rm -f "$BUILD"/drivers/misc/ringdev/*
    touch "$BUILD/arch/x86/boot/bzImage"
    case $(cat "$BUILD/.config") in
    *=m*) touch "$BUILD/drivers/misc/ringdev/ringdev.ko" ;;
    *=y*) touch "$BUILD/drivers/misc/ringdev/built-in.o" ;;
    esac ;;
esac
"""


def test_the_driver_is_left_out_then_a_module_then_built_in(machine: Machine) -> None:
    source, build, out = (machine.root / name for name in ("source", "build", "out"))
    for folder in (source / "scripts", source / "tools/testing/kunit", build, out, out / "patches"):
        folder.mkdir(parents=True)
    (out / "patches/1.patch").touch()
    config = source / "scripts/config"
    config.write_text(
        "#!/bin/sh\nfile=$2; case $3 in --disable) echo off ;; --module) echo CONFIG_RINGDEV=m ;;"
        ' --enable) echo CONFIG_RINGDEV=y ;; esac >"$file"\n'
    )
    config.chmod(0o755)
    machine.program("git")
    machine.program("mount")
    machine.program("python3", "echo Testing complete")
    machine.program("kbuild", KBUILD)
    machine.program("make", f"touch {out}/ringdev_test; chmod +x {out}/ringdev_test")
    words = [str(path) for path in (source, build, out / "patches", out)]
    run = machine.run("tests/in-tree/build", *words, "kbuild", "-j2", env={"BUILD": str(build)})
    assert run.returncode == 0, run.stderr
    assert {"n", "m", "y", "bzImage", "kunit.log", "ringdev_test"} <= {
        p.name for p in out.iterdir()
    }
