# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes pages of the documents here, for `make docs`."""

import re
from email.utils import parsedate_to_datetime
from pathlib import Path

project = "ringdev"
author = "The ringdev developers"

# A manual page has the version and the date of the release that it is of.
_NEWEST = re.compile(r"^ringdev \((.+?)\).*?^ -- .+?  (.+?)$", re.DOTALL | re.MULTILINE)
_changelog = (Path(__file__).resolve().parents[1] / "debian/changelog").read_text()
version, _date = _NEWEST.findall(_changelog)[0]
release = version
today = f"{parsedate_to_datetime(_date):%Y-%m-%d}"

# Tables that documents include.
exclude_patterns = ["matrix/*", "mistakes/*", "performance/*"]

# What stands in a document is what is shown: two hyphens begin an option.
smartquotes = False

html_theme = "alabaster"
html_show_copyright = False
html_theme_options = {
    "description": "Named ring buffers for user space, owned by the kernel",
    "page_width": "1100px",
    "sidebar_width": "240px",
}

man_pages = [
    ("man/ringctl", "ringctl", "make, show, fill and empty named ring buffers", "", "1"),
    ("man/ring", "ring", "a ring buffer with a name, owned by the kernel", "", "4"),
    ("man/ringdev", "ringdev", "named ring buffers for user space", "", "7"),
]
