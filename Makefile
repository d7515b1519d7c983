# SPDX-License-Identifier: GPL-2.0
#
# What one can do here. The module's own build is in Kbuild; everything else is done by
# scripts/lab, which this file only calls. `make help` prints this list.

.DEFAULT_GOAL := modules
.PHONY: help modules ringctl install uninstall run new test test-in-tree test-matrix test-packages
.PHONY: selftest mutants mistakes fuzz bench lint abi doctor docs debug gdb sign rust-headers
.PHONY: rust-analyzer
.PHONY: release clean distclean

# Variables given on make's command line reach it through the environment.
LAB = scripts/lab.sh

help: ## print this list
	@echo 'usage: make [TARGET] [VARIABLE=value]...'
	@echo
	@echo 'Targets:'
	@LC_ALL=C sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo
	@echo 'Variables:'
	@LC_ALL=C sed -n 's/^#  \([A-Z0-9_*]*=\)/  \1/p' $(firstword $(MAKEFILE_LIST))

modules: ## build ringdev.ko here, against KDIR (the default target)
	@$(LAB) modules

ringctl: ## build ringctl, in target/release
	@$(LAB) ringctl

install: ## install the module for KDIR's kernel, ringctl, and a udev rule
	@$(LAB) install

uninstall: ## remove what install, with the same variables, has put there
	@$(LAB) uninstall

run: ## boot the plain lane, load the module, show it, and give a shell
	@$(LAB) run

new: ## make a module of your own in Rust, NAME in DIR, and load it in a guest
	@$(LAB) new

test: ## all tests: on the host, and in a guest of each lane
	@$(LAB) test

test-in-tree: ## the driver as patches for a kernel tree, built in there; root
	@$(LAB) test-in-tree

test-matrix: ## the guests' tests on each series of kernels, in each lane; hours
	@$(LAB) test-matrix

test-packages: ## build and install what a release is shipped as, in a Debian root
	@$(LAB) test-packages

selftest: ## boot what must come out red, and see that the lab says so
	@$(LAB) selftest

mutants: ## plant faults, and see whether the tests that must find them do
	@$(LAB) mutants

mistakes: ## make in C what the compiler refuses in Rust, and see what finds it
	@$(LAB) mistakes

fuzz: ## run system calls guided by coverage, and account for all data
	@$(LAB) fuzz

bench: ## what a write and a read cost, beside pipes, sockets and C
	@$(LAB) bench

lint: ## format, warnings and style of everything
	@$(LAB) lint

abi: ## record what was added to the ABI in tests/abi
	@$(LAB) abi

doctor: ## check the tools and the kernel tree, and say how to mend them
	@$(LAB) doctor

docs: ## the documents as pages, and rustdoc beside them, in target/docs
	@$(LAB) docs

debug: ## boot a guest that waits for gdb
	@$(LAB) debug

gdb: ## gdb for that guest, with the symbols of kernel and module
	@$(LAB) gdb

sign: ## sign ringdev.ko with the key of a machine's owner, for Secure Boot
	@$(LAB) sign

rust-headers: ## compile what a distribution's headers lack for modules in Rust
	@$(LAB) rust-headers

rust-analyzer: ## write rust-project.json for rust-analyzer, against KDIR
	@$(LAB) rust-analyzer

release: ## the files of a release of what is committed, in target/dist
	@$(LAB) release

clean: ## remove what was built in this tree
	@$(LAB) clean

distclean: ## clean, and remove the lab's cache: kernels, tools, logs
	@$(LAB) distclean

# The lines from here on are printed by `make help`.
#  LANE=plain|debug  this lane alone; run, test and test-matrix have also up, rt, newest, stock
#  ONLY=PATTERN      test, selftest, test-matrix, mistakes, mutants, lint: only those with PATTERN
#                    in their name; A|B means both
#  PART=PART         mutants: those of channel, endpoint, staging, tools, lab, documents, or core
#  SAMPLE=n|ci       mutants: so many of them, or the ten that CI runs
#  TWIN=1            test: the user tests, on the driver's twin in C (tests/peers/twin)
#  CMD='...'         run, debug: this command in the guest; make names its exit code
#  NAME=foo          new: what the module is called
#  DIR=DIR           new: where its folder is made; beside this tree if not given
#  EXTRA=DIR         run: the files of DIR under /extra in the guest
#  GATE=1            bench: only the instructions, and whether they are within their bounds
#  SWITCHES=1        bench: the ring without each decision of its design as well
#  RECORD=1          bench, mistakes, test-matrix: record what came out in Documentation
#  MINUTES=N         fuzz: how long it searches; 10 if not given
#  SEED=N            fuzz: another search; 1 if not given
#  REPLAY=FILE       fuzz: run the program in FILE again and again, and nothing else
#  MUTANT=PART/NAME  fuzz: plant this fault of tests/mutants, and end when it is found
#  ACCEL=kvm|tcg     boot under this accelerator, whatever the probe says
#  KERNEL=7.2|7.3    the series of the kernels, of all lanes; 7.3 if not given
#  KEY=FILE CERT=... sign: the key, and its certificate in DER
#  KDIR=DIR          a built kernel tree, for the module and for booting
#  KSRC=DIR          a kernel source tree, from which the lanes' kernels are built
#  KSRC_SHA256=...   the checksum of kernel.org's tarball, to fetch that instead
#  PREFIX=DIR        install, uninstall: for all but the module; /usr/local if not given
#  DESTDIR=DIR       install, uninstall: put everything below DIR, and leave out depmod
#  INSTALL_MOD_*=... install: as kbuild's modules_install has them
#  NO_INSTALL=1      never install a package: print the command and stop
