# SPDX-License-Identifier: GPL-2.0
"""The lab: builds a kernel and the module, boots them under QEMU, and says what came of it.

Called as ``python3 -m lab VERB`` by scripts/lab.sh. It needs Python 3.11 and nothing
besides the standard library, so that it runs on a machine that has only just been set up.
"""
