# SPDX-License-Identifier: GPL-2.0
"""The environment in which the lab runs, and everything that it starts.

What the lab does must not depend on how its user has set up git, the shell, the language or Python.
So the lab does not take variables away that are known to matter, of which there is always one more:
it keeps those that it needs, and drops all others. ``scripts/lab.sh`` prepares what matters before
this can run: the language, and what Python reads when it starts.
"""

import locale
import os
import re
import time
from collections.abc import Mapping
from functools import cache as remember
from pathlib import Path

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"

# What stays of the user's environment: where programs, files and networks are, and what they ask of
# those who come from here.
KEPT = re.compile(
    # The user, and the terminal that shows a guest.
    r"HOME|LOGNAME|USER|TERM|TMPDIR|XDG_(CACHE|CONFIG)_HOME"
    # Programs, and what those need that choose one of several versions, or that cache.
    r"|PATH|LD_LIBRARY_PATH|(ASDF|CCACHE|MISE|NIX|PYENV)_\w+"
    # Mirrors, proxies and certificates.
    r"|((all|ftp|https?|no)_proxy)|((ALL|FTP|HTTPS?|NO)_PROXY)|\w*SSL_CERT_\w+|\w+_CA_BUNDLE"
    r"|APT_CONFIG|CARGO_(HOME|HTTP_\w+|NET_\w+|REGISTR\w+)|RUSTUP_(?!TOOLCHAIN\b)\w+"
    r"|PIP_(CACHE_DIR|(CLIENT_)?CERT|CONFIG_FILE|(DEFAULT_)?TIMEOUT|(EXTRA_)?INDEX_URL|FIND_LINKS"
    r"|NO_INDEX|PROXY|RETRIES|TRUSTED_HOST)"
    # How sudo asks for a password.
    r"|SUDO_ASKPASS|DISPLAY|XAUTHORITY"
)

# What git goes by, in place of all files of the user and the system. These settings also override
# those of a repository, which may be a clone with settings of its own.
GIT: Mapping[str, str] = {
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "commit.gpgSign": "false",
    "init.defaultBranch": "main",
    # A container may show its user the clone of another.
    "safe.directory": "*",
}

# Makes `git ls-files` go by .gitignore, which all clones share, and not by .git/info/exclude. No
# setting of git turns that file off.
GITIGNORE = "--exclude-per-directory=.gitignore"

FIXED: Mapping[str, str] = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "SHELL": "/bin/sh",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": str(len(GIT)),
    # Empty, they replace what a config.toml of cargo says.
    "RUSTC_WRAPPER": "",
    "RUSTC_WORKSPACE_WRAPPER": "",
    "RUSTDOCFLAGS": "",
    "RUSTFLAGS": "",
    **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(GIT)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(GIT.values())},
}

# For programs that would read settings of the user's in HOME, and need nothing else from there.
NO_HOME: Mapping[str, str] = {"HOME": "/nonexistent"}

# New files are readable for all, as packages and guests want them.
UMASK = 0o022


def settle() -> None:
    """Makes the environment of this process neutral. What the lab itself reads stays."""
    own = {name: value for name, value in os.environ.items() if is_own(name)}
    settled = own | neutral()
    os.environ.clear()
    os.environ.update(settled)
    os.umask(UMASK)
    time.tzset()
    locale.setlocale(locale.LC_ALL, FIXED["LC_ALL"])


def neutral() -> dict[str, str]:
    """Returns a neutral environment for what the lab starts, without the lab's own variables."""
    return {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)} | {**FIXED}


def is_own(name: str) -> bool:
    """Tells whether a variable is the lab's own, which `make help` lists."""
    return own_variables().fullmatch(name) is not None


@remember
def own_variables() -> re.Pattern[str]:
    """Returns what matches the variables that `make help` lists: those that the Makefile does."""
    lines = re.findall(r"^#  [A-Z].*=.*$", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    # One line may list two; the rest of it is an explanation.
    names = [name for line in lines for name in re.findall(r"\b([A-Z][A-Z0-9_*]*)=", line)]
    return re.compile("|".join(re.escape(name).replace(r"\*", r"\w*") for name in names))
