# SPDX-License-Identifier: MIT
"""Sphinx configuration of the guide: settings only; what does something is in source/_ext."""
from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "source" / "_ext"), str(ROOT)]

project = "Securing Xen"
author = "the Securing Xen contributors"
copyright = "the Securing Xen contributors, CC BY 4.0"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
language = "en"
today_fmt = "%Y-%m-%d"

extensions = [
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_tabs.tabs",
    "tabs_everywhere",
    "mistakes",
    "around_blocks",
    "chapter_map",
    "conversion_report",
    "evidence",
    "inline_commands",
    "code_in_print",
    "not_run",
    "lexers",
    "measured_curve",
    "topology_diagram",
    "landing_page_first",
    "man_pages",
    "page_description",
    "reader_values",
    "one_host",
    "downloads",
    "search_numbers",
    "last_run",
    "missing_page",
    "plain_text",
    "index_entries",
    "reread",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*"]
templates_path = ["source/_templates"]
nitpicky = True
highlight_language = "none"
smartquotes = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# A label comes first: [...](#considerations) means the label, not the page or a glossary term of that name.
suppress_warnings = ["myst.xref_ambiguous"]

# The style of tabs is in guide.css: sphinx-tabs' own is white in dark mode.
sphinx_tabs_disable_css_loading = True
sphinx_tabs_disable_tab_closing = True

# Of a transcript, the commands are copied, without prompts and output.
copybutton_prompt_text = r"[a-z_][a-z0-9_-]*@[a-z0-9-]+[#$] |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
copybutton_here_doc_delimiter = "EOF"
copybutton_copy_empty_lines = False
copybutton_selector = "div:not(.several-hosts) > div.highlight > pre"

html_theme = "furo"
html_title = "Securing Xen"
html_favicon = "source/_static/favicon.svg"
html_static_path = ["source/_static"]
html_css_files = ["guide.css"]
html_theme_options = {"top_of_page_buttons": []}
# Where the pages are published and where their sources are is known where they are published.
html_baseurl = os.environ.get("SITE_URL", "")
html_context = {
    "edit": os.environ.get("EDIT_URL", ""),
    "applies_to": "Xen 4.17 (Debian 12) and 4.20 (Debian 13), up to 4.22 by its sources, and xend up to Xen 4.4; where "
                  "a version differs, the text says so",
}
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_use_index = False

# What the title page of the PDF says of that.
PUBLISHED = rf"\medskip\noindent This guide, with its examples: \url{{{html_baseurl}}}\par" if html_baseurl else ""

# GitHub makes the anchors of lines by a script, so they are not in what the check reads.
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*/blob/"]

latex_engine = "pdflatex"
latex_documents = [("index", "securing-xen.tex", "Securing Xen", author, "howto")]
latex_show_urls = "footnote"
latex_show_pagerefs = True
latex_additional_files = ["source/_latex/guide.sty"]
latex_elements = {
    "papersize": "a4paper",
    "pointsize": "11pt",
    "fvset": r"\fvset{fontsize=\footnotesize}",
    "sphinxsetup": "inlineliteralwraps=false",
    "preamble": r"\usepackage{guide}",
    "maketitle": rf"""
\hypersetup{{pdftitle={{{project}}},pdfauthor={{{author}}},
  pdfsubject={{Keeping attackers away from Domain-0, the toolstack and live migration}},
  pdfkeywords={{Xen, Domain-0, xl, xend, live migration, relocation, nftables, iptables}}}}
\begin{{titlepage}}
\null\vfill
{{\Huge\bfseries\sffamily Securing Xen\par}}
\vspace{{1em}}
{{\Large Keeping attackers away from Domain-0, the toolstack and live migration\par}}
\vfill
\noindent Version {version}, \csname @date\endcsname\par
\medskip\noindent Applies to {html_context["applies_to"]}.\par
\medskip\noindent Every command in it has been run, or says why it was not.\par
\medskip\noindent Copyright: {copyright}.\par
{PUBLISHED}
\end{{titlepage}}
""",
    "tableofcontents": r"\pagenumbering{roman}\tableofcontents\clearpage\pagenumbering{arabic}",
}

epub_basename = "securing-xen"
epub_show_urls = "no"
epub_theme = "epub"

man_pages = [("index", "securing-xen", "a guide to securing a Xen host", [], 7)] + [
    (f"scenarios/{name}", f"securing-xen-{name}", description, [], 7)
    for name, description in [
        ("isolated-management-network", "secure Xen hosts that have a management network of their own"),
        ("subnet-behind-a-firewall", "secure Xen hosts on a subnet behind a border firewall"),
        ("untrusted-subnet", "secure Xen hosts on a subnet where anybody may be the neighbour"),
        ("untrusted-subnet-wireguard", "relocate guests through a WireGuard tunnel between Xen hosts"),
    ]
] + [("reference/exposure", "securing-xen-exposure", "tell who can open a connection to a Xen host", [], 8)]
