# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the tests of the samples and of ringctl have in common.

# Waits until a command succeeds; the runner limits for how long.
wait_until() {
	until "$@"; do
		usleep 10000
	done
}

# Runs a command that has to end with an exit code, and to say a sentence on stderr.
fails() {
	code=$1 sentence=$2
	shift 2
	status=0
	"$@" 2>said || status=$?
	[ "$status" = "$code" ]
	grep -F "$sentence" said
}

# How many endpoints all rings together have, as `endpoints readers` says.
endpoints() {
	ringctl list --json | tr ',' '\n' | awk -F : -v key="\"$1\"" '$1 ~ key { n += $2 } END { print n + 0 }'
}

# Whether there is no ring whose name begins so. (A command behind `!` never ends a script.)
no_ring() {
	[ "$(find /dev/ring -name "$1*")" = '' ]
}

# A field of a ring, as `field RING NAME` says, out of what `ringctl stat --json` prints.
field() {
	ringctl stat "$1" --json | sed -n "s/^    \"$2\": \(.*[^,]\),*$/\1/p"
}
