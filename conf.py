"""Sphinx configuration of the guide: settings only, what does something is in source/_ext."""
from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "source" / "_ext"), str(ROOT)]

project = "Securing Xen"
author = "the Securing Xen contributors"
copyright = "the Securing Xen contributors, CC BY 4.0"  # noqa: A001
language = "en"
today_fmt = "%Y-%m-%d"

extensions = [
    "myst_parser",
    "sphinx_tabs.tabs",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*"]
templates_path = ["source/_templates"]
nitpicky = True
highlight_language = "none"
smartquotes = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Securing Xen"
html_static_path = ["source/_static"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

latex_engine = "pdflatex"
latex_documents = [("index", "securing-xen.tex", "Securing Xen", author, "howto")]

man_show_urls = False
man_pages = [("index", "securing-xen", "a guide to securing a Xen host", [], 7)] + [
    (f"scenarios/{name}", f"securing-xen-{name}", description, [], 7)
    for name, description in [
        ("isolated-management-network", "secure Xen hosts that have a management network of their own"),
        ("subnet-behind-a-firewall", "secure Xen hosts on a subnet behind a border firewall"),
        ("untrusted-subnet", "secure Xen hosts on a subnet where anybody may be the neighbour"),
    ]
]
