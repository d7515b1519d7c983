# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# The steps of the guest's init, in the order in which it takes them. The numbers of the
# virtio serial ports are those of scripts/lab/qemu.py.

RECORD=/dev/vport0p1 STDIN=/dev/vport0p2 STDOUT=/dev/vport0p3 STDERR=/dev/vport0p4
RESULTS=/dev/vport0p5 KLOG=/dev/vport0p6
TERMINAL=/dev/ttyS1

# Tells the host one fact, on one line.
say() {
	echo "$NONCE $*" >&3
}

set_up() {
	export PATH=/bin HOME=/root TERM="$TERM"
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev
	mkdir -p /dev/shm /dev/pts
	mount -t tmpfs tmpfs /dev/shm
	mount -t tmpfs tmpfs /tmp
	mount -t tmpfs tmpfs /run
	mount -t devpts devpts /dev/pts 2>/dev/null
	mount -t debugfs debugfs /sys/kernel/debug
	[ ! -d /sys/kernel/tracing ] || mount -t tracefs tracefs /sys/kernel/tracing
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	ln -s /proc/self/fd /dev/fd
	ln -s fd/0 /dev/stdin
	ln -s fd/1 /dev/stdout
	ln -s fd/2 /dev/stderr
	# The ports appear one after the other, this one as the last.
	while [ ! -e "$KLOG" ]; do
		usleep 10000
	done
	exec 3<>"$RECORD"
}

# Looks at the log while it has the boot: later, a test may have filled it.
kasan_begin() {
	! dmesg | grep -q 'KernelAddressSanitizer initialized' || kasan=1
}

# Tells whether a file is there and has a line that matches.
has() {
	[ -e "$1" ] && grep -q "$2" "$1"
}

# Names the kernel's aids that are at work. One that has turned itself off finds nothing any more,
# and says so at most in a line of the log.
report_aids() {
	aids=
	[ -z "$kasan" ] || aids="$aids kasan"
	[ -z "$kmemleak" ] || aids="$aids kmemleak"
	if has /proc/lockdep_stats 'debug_locks: *1$' && has /proc/sys/kernel/prove_locking 1; then
		aids="$aids lockdep"
	fi
	! has /proc/sys/kernel/hung_task_timeout_secs '[1-9]' || aids="$aids hung_task"
	! has /proc/sys/kernel/soft_watchdog 1 || aids="$aids soft_watchdog"
	[ ! -d /sys/kernel/debug/failslab ] || aids="$aids failslab"
	say aids "$aids"
}

# Objects that were lost before the module came are not its leaks.
kmemleak_begin() {
	[ -e /sys/kernel/debug/kmemleak ] || return 0
	echo scan >/sys/kernel/debug/kmemleak
	echo clear >/sys/kernel/debug/kmemleak
}

# At boot no suite has the name that is asked for: the kernel has some of its own, which are not
# what is tested here. A line's end would be part of the name.
kunit_of_the_module() {
	printf '*' >/sys/module/kunit/parameters/filter_glob
}

report_kunit() {
	for suite in /sys/kernel/debug/kunit/*; do
		[ ! -e "$suite/results" ] || cat "$suite/results"
	done >"$RESULTS"
	echo "$NONCE" >"$RESULTS"
	say kunit
}

# Runs /lab/command in a cgroup and a session of its own, with the input and output that this
# function is called with. Returns its exit code, when nothing of it runs any more.
command_in_cgroup() {
	mkdir /sys/fs/cgroup/command
	say command
	(
		exec 3<&-
		echo 0 >/sys/fs/cgroup/command/cgroup.procs
		exec setsid "$@" sh -c "$(cat /lab/command)"
	)
	code=$?
	# What it left behind would hold its output, and the module.
	echo 1 >/sys/fs/cgroup/command/cgroup.kill
	while grep -q 'populated 1' /sys/fs/cgroup/command/cgroup.events; do
		usleep 10000
	done
	return "$code"
}

# The command's input and output go through pipes: these it can reopen, which the ports do not
# allow. Each output ends with the nonce, so that the host knows that it has all of it.
run_command() {
	mkfifo /run/in /run/out /run/err
	{ cat /run/out && echo "$NONCE"; } >"$STDOUT" &
	stdout=$!
	{ cat /run/err && echo "$NONCE"; } >"$STDERR" &
	stderr=$!
	cat "$STDIN" >/run/in &
	stdin=$!
	# Each of these waits for the other end of its pipe, and fails if a child ends meanwhile. The
	# first that may end is the one that feeds /run/in, which is therefore opened last.
	command_in_cgroup >/run/out 2>/run/err </run/in
	code=$?
	kill "$stdin" 2>/dev/null
	wait "$stdout" || say lost stdout
	wait "$stderr" || say lost stderr
	say exit "$code"
}

# The command has a terminal, whose size follows that of the host's.
run_command_in_terminal() {
	# shellcheck disable=SC2153 # they are in /lab/spec
	stty -F "$TERMINAL" rows "$ROWS" cols "$COLUMNS"
	while read -r _ rows columns; do
		stty -F "$TERMINAL" rows "$rows" cols "$columns"
	done <&3 &
	resizer=$!
	command_in_cgroup -c <>"$TERMINAL" >&0 2>&1
	code=$?
	kill "$resizer"
	say exit "$code"
}

unload() {
	name=$(basename "$MODULE" .ko)
	if grep -q "^$name " /proc/modules; then
		# Where its code was: a report of what it leaked has only addresses.
		say text "$(cat "/sys/module/$name/sections/.text")"
		rmmod "$name"
		say rmmod $?
	else
		say rmmod absent
	fi
}

# An object is reported once it is 5 s old and has been found unreferenced by two scans.
kmemleak_end() {
	[ -e /sys/kernel/debug/kmemleak ] || return 0
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	# Refused if it has turned itself off, as it does when it finds no memory.
	! echo scan >/sys/kernel/debug/kmemleak || kmemleak=1
	cat /sys/kernel/debug/kmemleak >/dev/console
	say leaks "$(grep -c '^unreferenced object' /sys/kernel/debug/kmemleak)"
}

# The host has the console as well. What is only here, the console was too late for.
report_log() {
	{ dmesg; echo "$NONCE"; } >"$KLOG"
}
