# SPDX-License-Identifier: MIT
"""HTML: the guide for programs that read: ``llms.txt`` lists the pages, ``llms-full.txt`` has them all.

The form is that of https://llmstxt.org/. The text is that of the pages' sources, with the examples in their places.
"""
from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

INCLUDE = re.compile(r"^(`{3,})\{literalinclude\} (\S+)\n(?::.*\n)*\1$", re.MULTILINE)


def with_examples(file: Path) -> str:
    """The source of a page, with the files in it that it shows."""
    def shown(match: re.Match[str]) -> str:
        example = (file.parent / match[2]).resolve()
        if not example.is_file():  # Sphinx has warned of it
            return match[0]
        return f"{match[1]}\n# {example.name}\n{example.read_text(encoding='utf-8').rstrip()}\n{match[1]}"
    return INCLUDE.sub(shown, file.read_text(encoding="utf-8"))


def write(app: Sphinx, exception: Exception | None) -> None:
    """Put both files beside the pages."""
    if app.builder.name != "html" or exception is not None:
        return
    pages = [app.config.root_doc, *app.env.toctree_includes.get(app.config.root_doc, [])]
    summary = next(app.env.get_doctree(pages[0]).findall(nodes.paragraph)).astext().replace("\n", " ")
    lines = [f"# {app.config.project}", "", f"> {summary}", "", "## Pages", ""]
    lines += [f"- [{app.env.titles[page].astext()}]({app.config.html_baseurl}{page}.html)" for page in pages]
    lines += ["", "## Everything in one file", "",
              f"- [The whole guide as text]({app.config.html_baseurl}llms-full.txt)", ""]
    Path(app.outdir, "llms.txt").write_text("\n".join(lines), encoding="utf-8")
    text = "\n\n".join(with_examples(Path(app.env.doc2path(page))).strip() for page in pages) + "\n"
    Path(app.outdir, "llms-full.txt").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
