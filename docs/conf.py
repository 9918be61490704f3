"""Configure Sphinx. Build the site with ``nox -s docs``."""

from __future__ import annotations

project = "purekernel"
project_copyright = "the purekernel authors"
extensions = ["myst_parser"]
exclude_patterns = ["_site"]

# Fail on a link that leads nowhere; `nox -s docs` turns warnings into errors.
nitpicky = True
# Headings down to this level get an anchor with the name that repositories' own views give them.
myst_heading_anchors = 4
# Code blocks without a language are output or diagrams.
highlight_language = "none"

# Leave "--" in prose as it is.
smartquotes = False

html_theme = "furo"
html_title = "purekernel"
# The sources are in the repository; a copy beside each page would only add files.
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
