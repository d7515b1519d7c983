# SPDX-License-Identifier: GPL-2.0
"""A user whose settings the lab must not notice: all of its tests run as this one."""

import os
from pathlib import Path

GITCONFIG = """
[alias]
	ls-files = !false
[apply]
	whitespace = error-all
[color]
	ui = always
[commit]
	gpgSign = true
	template = /nonexistent
[core]
	autocrlf = true
	eol = crlf
	excludesFile = {home}/everything
	fsmonitor = /bin/false
	hooksPath = {home}/hooks
	pager = false
	quotePath = true
	safecrlf = true
[diff]
	external = false
	mnemonicPrefix = true
	noprefix = true
[format]
	attach = here
	numbered = false
	outputDirectory = /nonexistent
	signature = habit
	subjectPrefix = HABIT
	suffix = .habit
[gpg]
	program = false
[init]
	defaultBranch = habit/of/mine
	templateDir = {home}/template
[log]
	showSignature = true
[status]
	showUntrackedFiles = no
[tag]
	gpgSign = true
[tar]
	umask = 0077
[user]
	useConfigOnly = true
"""

PIP = """
[install]
user = true
target = /nonexistent
"""

VARIABLES = {
    # Language, time and terminal.
    "LANG": "tr_TR.UTF-8",
    "LANGUAGE": "tr:de",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "LC_COLLATE": "et_EE.UTF-8",
    "TZ": "Pacific/Kiritimati",
    "COLUMNS": "20",
    "LINES": "5",
    "TERM": "no-such-terminal",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "false",
    "EDITOR": "false",
    # The shell, and programs that scripts call.
    "SHELL": "/bin/false",
    "CDPATH": "/:/usr",
    "POSIXLY_CORRECT": "1",
    "BASH_FUNC_git%%": "() { return 97; }",
    "BASH_FUNC_sed%%": "() { return 97; }",
    "GREP_OPTIONS": "--invert-match --color=always",
    "TAR_OPTIONS": "--no-such-option",
    "XZ_DEFAULTS": "--no-such-option",
    "XZ_OPT": "--no-such-option",
    "PERL5OPT": "-MNoSuch::Module",
    "MAKEFLAGS": "n",
    "MAKELEVEL": "7",
    # Compilers and cargo.
    "CC": "false",
    "CFLAGS": "-no-such-flag",
    "RUSTFLAGS": "--no-such-flag",
    "RUSTC_WRAPPER": "/bin/false",
    "RUSTUP_TOOLCHAIN": "no-such-toolchain",
    "CARGO_BUILD_TARGET": "no-such-target",
    "CARGO_TERM_COLOR": "always",
    "LIBCLANG_PATH": "/nonexistent",
    "KBUILD_OUTPUT": "/nonexistent",
    # Python.
    "PYTHONHOME": "/nonexistent",
    "PYTHONIOENCODING": "ascii:strict",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONWARNINGS": "error",
    "PYTEST_ADDOPTS": "--no-such-option",
    "PIP_USER": "1",
    # git, as in one of its hooks.
    "GIT_DIR": "/nonexistent",
    "GIT_INDEX_FILE": "/nonexistent/index",
    "GIT_WORK_TREE": "/nonexistent",
    "GIT_EXTERNAL_DIFF": "false",
    "GIT_PAGER": "false",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.autocrlf",
    "GIT_CONFIG_VALUE_0": "true",
}

UMASK = 0o077


def variables(home: Path) -> dict[str, str]:
    """Returns the user's variables. HOME is an empty folder; the settings' files are beside it."""
    empty = home / "home"
    settings = home / "settings"
    empty.mkdir()
    (settings / "git").mkdir(parents=True)
    (settings / "git/attributes").write_text("* text eol=crlf -diff\n")
    (settings / "git/ignore").write_text("*\n")
    (home / "everything").write_text("*\n")
    for name in ("gitconfig", "settings/git/config"):
        (home / name).write_text(GITCONFIG.format(home=home))
    (settings / "pip").mkdir()
    (settings / "pip/pip.conf").write_text(PIP)
    for name in ("hooks/pre-commit", "hooks/commit-msg", "template/hooks/pre-commit"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("#!/bin/sh\nexit 1\n")
        (home / name).chmod(0o755)
    # What a shell reads first.
    (home / "profile").write_text("echo from the profile\nexit 98\n")
    (home / "python").mkdir()
    (home / "python/json.py").write_text("raise ImportError('of the user')\n")
    return VARIABLES | {
        "HOME": str(empty),
        "XDG_CONFIG_HOME": str(settings),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_SYSTEM": str(home / "gitconfig"),
        "BASH_ENV": str(home / "profile"),
        "ENV": str(home / "profile"),
        "MAKEFILES": str(home / "profile"),
        "PYTHONPATH": str(home / "python"),
        # Not habits, but where tools are.
        **_places(),
    }


def _places() -> dict[str, str]:
    """Returns where Rust's tools are if they are in HOME, which is another one now."""
    return {
        name: str(folder)
        for name, folder in (
            ("RUSTUP_HOME", Path.home() / ".rustup"),
            ("CARGO_HOME", Path.home() / ".cargo"),
        )
        if name not in os.environ and folder.exists()
    }
