# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes pages of the documents here, for `make docs`."""

project = "ringdev"
author = "The ringdev developers"

# Tables that performance.rst includes.
exclude_patterns = ["performance/*"]

# What stands in a document is what is shown: two hyphens begin an option.
smartquotes = False

html_theme = "alabaster"
html_show_copyright = False
html_theme_options = {
    "description": "Named ring buffers for user space, owned by the kernel",
    "page_width": "1100px",
    "sidebar_width": "240px",
}
