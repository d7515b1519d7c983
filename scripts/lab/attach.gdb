# SPDX-License-Identifier: GPL-2.0
#
# What `make gdb` does first in a guest. One that has not begun has no page tables, so that nothing
# of the kernel can be read, and lx-symbols, which looks for modules there, fails. Such a guest is
# let go on to the kernel's first function in C.
python
try:
    int(gdb.parse_and_eval("modules.next"))
except gdb.MemoryError:
    gdb.execute("thbreak start_kernel")
    gdb.execute("continue")
end
