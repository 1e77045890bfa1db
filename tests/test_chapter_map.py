# SPDX-License-Identifier: MIT
"""The chapter map: every point of the chapter has an answer, and a wrong entry is a warning."""
from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from latex import tex2myst
from latex.converter.document import Block, Code, ItemList, Paragraph
from latex.converter.myst import inline

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "latex" / "securing-xen.tex"
PAGE = ROOT / "source" / "reference" / "chapter-map.md"

CONF = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "source" / "_ext")!r}]
extensions = ["myst_parser", "chapter_map", "conversion_report"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
"""

TEX = r"""\chapter{A book}
\section{One}
A claim
in two lines.

\textbf{FIXME:} Why?
\begin{enumerate}
\item \textbf{Do} this.
\end{enumerate}
\begin{verbatim}
# a comment \
first \
  --option

second -{}-option
\end{verbatim}
"""
EXAMPLE = "examples/untrusted-subnet/firewall.v4"
TEST = "tests/test_subnet_behind_a_firewall.py::test_the_chapters_own_rules"
ENTRIES = {
    "a-book": "target — kept",
    "one": "target, other — kept",
    "one/statement-1": "target — kept: so `be` it",
    "one/question-1": "other — answered: because",
    "one/practice-1": "other — kept",
    "one/command-1": f"target, {EXAMPLE} — corrected: it was\n  wrong",
    "one/command-2": f"block,\n  {TEST} — kept",
}
FIRST_ENTRY = 15  # the line of the page that the first entry stands on


class Project:
    """A scratch guide of one page with a map, built by Sphinx."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.out = folder / "build"
        self.tex = folder / "latex" / "book.tex"
        for path in (self.source, self.tex.parent):
            path.mkdir()
        (self.source / "conf.py").write_text(CONF)
        self.tex.write_text(TEX)

    def page(self, entries: dict[str, str], argument: str = "../latex/book.tex") -> None:
        lines = [f"{key}: {entry}" for key, entry in entries.items()]
        (self.source / "index.md").write_text("\n".join([
            "(page)=", "# The page", "", "(target)=", "## Target title", "", "(other)=", "## Other title", "",
            "(block)=", "A block.", "",
            f"```{{chapter-map}} {argument}", ":practice: one", *lines, "```", "",
        ]))

    def build(self) -> tuple[Sphinx, list[str]]:
        """Build as text; returns the application and its warnings, without the path of the source folder."""
        warnings = io.StringIO()
        with patch_docutils(), docutils_namespace():
            app = Sphinx(self.source, self.source, self.out, self.out / "doctrees", "text",
                         confoverrides={"nitpicky": True}, status=None, warning=warnings)
            app.build()
        text = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())
        return app, text.replace(f"{self.source}/", "").splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    return Project(tmp_path)


def test_map_shows_each_item_and_its_answer(project: Project) -> None:
    project.page(ENTRIES)
    app, warnings = project.build()
    assert warnings == []
    shown = [" ".join(line.split()) for line in (project.out / "index.txt").read_text().splitlines() if line]
    assert "".join(shown[shown.index("A block.") + 1 :]).replace(" ", "") == "".join([
        "A book", "------", "**Kept** in Target title (The page).",
        "One", "---", "**Kept** in Target title (The page), Other title (The page).",
        "Statement 1, line 3", "A claim in two lines.", "**Kept** in Target title (The page): so \"be\" it",
        "Open question 1, line 6", "**FIXME:** Why?", "**Answered** in Other title (The page): because",
        "Practice 1, line 8", "**Do** this.", "**Kept** in Other title (The page).",
        "Command 1, line 12", "\"first --option\"",
        f"**Corrected** in Target title (The page), \"{EXAMPLE}\": it was wrong",
        "Command 2, line 15", "\"second --option\"", f"**Kept** in The page, \"{TEST}\".",
    ]).replace(" ", "")
    # A block of code on a page of the guide is something to run; the chapter's commands are not.
    assert not list(app.env.get_doctree("index").findall(nodes.literal_block))


DIRECTIVE = FIRST_ENTRY - 2


def line_of(key: str) -> int:
    keys = list(ENTRIES)
    return FIRST_ENTRY + sum(1 + ENTRIES[other].count("\n") for other in keys[: keys.index(key)])


@pytest.mark.parametrize(("change", "line", "message"), [
    ({"one/statement-1": None}, DIRECTIVE, "one/statement-1: nothing answers book.tex:3: A claim in two lines."),
    ({"one/practice-1": None}, DIRECTIVE, "one/practice-1: nothing answers book.tex:8: **Do** this."),
    ({"one/question-1": None}, DIRECTIVE, "one/question-1: nothing answers book.tex:6: **FIXME:** Why?"),
    ({"one/command-2": None}, DIRECTIVE, "one/command-2: nothing answers book.tex:15: second --option"),
    ({"a-book": None}, DIRECTIVE, "a-book: nothing answers book.tex:1: A book"),
    ({"one/practice-2": "target — kept"}, FIRST_ENTRY + 9, "one/practice-2: the chapter has no such item"),
    ({"one/practice-1": "nowhere — kept"}, line_of("one/practice-1"), "one/practice-1: undefined label: 'nowhere'"),
    ({"one/practice-1": "page — kept"}, line_of("one/practice-1"), "one/practice-1: page is a whole page"),
    ({"one/practice-1": f"{EXAMPLE} — kept"}, line_of("one/practice-1"), "one/practice-1: no label of the guide"),
    ({"one/command-2": "target — kept"}, line_of("one/command-2"), "one/command-2: a command needs an example"),
    ({"one/command-2": "target, examples/no.sh — kept"}, line_of("one/command-2"),
     "one/command-2: no such example or test: examples/no.sh"),
    ({"one/command-2": f"target, {TEST}x — kept"}, line_of("one/command-2"),
     "one/command-2: no such example or test: tests/"),
    ({"one/command-2": "target, source/index.md — kept"}, line_of("one/command-2"),
     "one/command-2: no such example or test: source/index.md"),
    ({"one/command-2": "target — kept, nowhere"}, line_of("one/command-2"), "not KEY: LABEL, ..."),
    ({"one/command-2": "target — lost"}, line_of("one/command-2"), "not KEY: LABEL, ..."),
    ({"one/practice-1": "other — corrected"}, line_of("one/practice-1"), "one/practice-1: corrected needs a remark"),
    ({"one/practice-1": "other — answered: so"}, line_of("one/practice-1"), "one/practice-1: an open question is"),
    ({"one/question-1": "other — kept"}, line_of("one/question-1"), "one/question-1: an open question is"),
    ({"one/command-2": f"target, {TEST} — kept\none: other — kept"}, FIRST_ENTRY + 8, "one: mapped twice"),
])
def test_wrong_map_is_a_warning_where_it_stands(
    project: Project, change: dict[str, str | None], line: int, message: str
) -> None:
    project.page({key: entry for key, entry in (ENTRIES | change).items() if entry is not None})
    _, warnings = project.build()
    assert [text for text in warnings if text.startswith(f"index.md:{line}: WARNING: {message}")], warnings


@pytest.mark.parametrize(("tex", "message"), [
    (None, "No such file"),
    (r"\section{One} \unknown", "book.tex:1:15: unknown macro \\unknown"),
])
def test_chapter_that_cannot_be_read_is_a_warning(project: Project, tex: str | None, message: str) -> None:
    if tex is None:
        project.tex.unlink()
    else:
        project.tex.write_text(tex)
    project.page(ENTRIES)
    _, warnings = project.build()
    assert len(warnings) == 1
    assert warnings[0].startswith(f"index.md:{DIRECTIVE}: WARNING: the chapter cannot be read: ")
    assert message in warnings[0]


def test_items_can_be_requirements(project: Project) -> None:
    project.page({key.replace("practice", "requirement"): entry for key, entry in ENTRIES.items()})
    page = project.source / "index.md"
    page.write_text(page.read_text().replace(":practice: one", ":requirement: one"))
    _, warnings = project.build()
    assert warnings == []
    assert "Requirement 1, line 8" in (project.out / "index.txt").read_text()


def test_a_change_of_the_chapter_is_seen_by_the_next_build(project: Project) -> None:
    project.page(ENTRIES)
    assert project.build()[1] == []
    assert project.build()[1] == []
    project.tex.write_text(TEX + "\nA new claim.\n")
    _, warnings = project.build()
    assert [text for text in warnings if "one/statement-2: nothing answers book.tex:18: A new claim." in text]


def test_our_map_answers_our_chapter(project: Project) -> None:
    """The page against the real chapter. The labels are stand-ins; the guide's build has the real ones."""
    shutil.copy(CHAPTER, project.tex.parent)
    (project.source / "reference").mkdir()
    shutil.copy(PAGE, project.source / "reference")
    entries = re.findall(r": ([^:]*?) — (?:kept|corrected|answered)", PAGE.read_text().replace("::", "/"))
    labels = {label for entry in entries for label in re.split(r",\s+", entry) if "/" not in label}
    assert len(labels) > 10
    sections = [f"({label})=\n## Title of {label}\n" for label in sorted(labels)]
    (project.source / "index.md").write_text(
        "\n".join(["# Index\n", "```{toctree}\nreference/chapter-map\n```\n", *sections])
    )
    _, warnings = project.build()
    assert warnings == []
    shown = _words((project.out / "reference" / "chapter-map.txt").read_text())
    for section in tex2myst.read(CHAPTER).root.walk():
        for block in section.blocks:
            for text in _texts(block):
                assert _words(text) in shown


def _texts(block: Block) -> list[str]:
    match block:
        case Paragraph():
            return [inline(block.inlines)]
        case ItemList():
            return [text for item in block.items for part in item.blocks for text in _texts(part)]
        case Code():
            return [line.rstrip("\\") for line in block.text.splitlines() if not line.startswith("#")]


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w./-]+", text))


def test_the_report_of_a_conversion_is_shown(project: Project) -> None:
    (project.source / "index.md").write_text("# A\n\n```{conversion-report} ../latex/book.tex\n```\n")
    _, warnings = project.build()
    assert warnings == []
    shown = (project.out / "index.txt").read_text().splitlines()
    assert [line for line in shown if line.startswith("* \"book")] == [
        '* "book.tex:6": open question: "\\textbf{FIXME:} Why?"',
        '* "book.tex:15": repaired, -{}- is --: "second -{}-option"',
    ]


def test_a_conversion_that_fails_is_a_warning(project: Project) -> None:
    project.tex.write_text("\\unknown")
    (project.source / "index.md").write_text("# A\n\n```{conversion-report} ../latex/book.tex\n```\n")
    _, warnings = project.build()
    assert len(warnings) == 1
    assert "index.md:3: WARNING: not converted: " in warnings[0]
    assert "book.tex:1:1: unknown macro" in warnings[0]
