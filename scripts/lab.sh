#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The way into the lab (scripts/lab): finds a Python that can run it, installs one where
# that is possible, and hands over. A fresh machine may have nothing but git and make.
#
# usage: scripts/lab.sh VERB [ARGUMENT]...

set -eu

# "This host cannot run the lab": the same number as Exit.HOST_NOT_FIT in lab/errors.py.
NOT_FIT=200

# What the user has set up for shells, in which language, and for Python, must not matter here.
# scripts/lab/environment.py sees to everything else.
unset BASH_ENV CDPATH ENV LANGUAGE POSIXLY_CORRECT
for name in $(env | sed -n 's/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p'); do
	unset "$name"
done
export LC_ALL=C.UTF-8 PYTHONNOUSERSITE=1

here=$(cd -- "$(dirname -- "$0")" && pwd)

# Prints the first Python in PATH that is at least 3.11, as its own absolute path: the name
# may stand for a version switcher that is slower by half a second a call.
find_python() {
	for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
		if "$name" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' \
			2>/dev/null; then
			return 0
		fi
	done
	return 1
}

# Installs the distribution's Python for a verb, or says why not and leaves.
install_python() {
	install='apt-get install --yes --no-install-recommends python3'
	sudo=
	[ "$(id -u)" -eq 0 ] || sudo='sudo '
	if ! command -v apt-get >/dev/null; then
		echo 'lab: the lab is written in Python and finds none from 3.11 on: install python3' >&2
		exit "$NOT_FIT"
	fi
	# The doctor only looks.
	[ "$1" != doctor ] || NO_INSTALL=1
	if [ "${NO_INSTALL:-0}" != 0 ] || { [ -n "$sudo" ] && ! command -v sudo >/dev/null; }; then
		echo 'lab: the lab is written in Python and finds none from 3.11 on. As root:' >&2
		echo "    $install" >&2
		exit "$NOT_FIT"
	fi
	echo 'lab: installing python3 (at least 3.11): the lab is written in it' >&2
	echo "    $sudo$install" >&2
	export DEBIAN_FRONTEND=noninteractive
	if ! $sudo apt-cache show python3 >/dev/null 2>&1; then
		$sudo apt-get update >&2
	fi
	# shellcheck disable=SC2086 # two words on purpose: the command and its arguments
	$sudo $install >&2
}

python=$(find_python) || {
	install_python "${1:-}"
	python=$(find_python) || {
		echo "lab: this distribution's python3 is older than 3.11, which the lab needs" >&2
		exit "$NOT_FIT"
	}
}

export PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
exec "$python" -P -m lab "$@"
