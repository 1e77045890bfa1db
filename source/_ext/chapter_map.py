# SPDX-License-Identifier: MIT
"""The directive ``chapter-map``: what the LaTeX chapter says, and where the guide answers it.

::

    ```{chapter-map} ../../latex/securing-xen.tex
    :practice: a-section
    :requirement: another-section

    a-section: a-label — kept
    a-section/command-1: a-label, examples/firewall.nft — corrected: the reason, in MyST.
      A line that is indented goes on with the one before.
    ```

The argument is the chapter, relative to the page. It is read by the converter, so
what is listed here is what ``make convert`` shows. Its items have keys that are
made of the section's title and a number: ``SECTION`` is the heading itself,
``SECTION/statement-N`` a paragraph, ``SECTION/practice-N`` or ``requirement-N`` an item of
the list in the section that the option of that name names, ``SECTION/command-N`` a
command in a block of code, and ``SECTION/question-N`` a paragraph anywhere that holds
a FIXME. Each line maps one to labels of the guide, which stand on a heading or a
block of a page, and a command also to the tests that run it and show what is wrong
with it (``tests/FILE.py::TEST``), and to the examples that replace it.

An item without a line, a line without an item, a malformed line, a label that does
not exist or that means a whole page, and an example or a test that is not there are
warnings, so that ``sphinx-build -W`` fails.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

import conversion_report
from latex import tex2myst
from latex.converter.document import Block, Code, ItemList, Paragraph, Section
from latex.converter.myst import inline

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = ("kept", "corrected", "answered")
ENTRY = re.compile(
    r"(?P<key>\S+): (?P<targets>[^\s,]+(, [^\s,]+)*) — (?P<outcome>\w+)(: (?P<remark>\S.*))?"
)


@dataclass(frozen=True)
class Point:
    """Something that the chapter says; ``text`` is MyST, but for a command: there it is the command."""

    key: str
    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Answer:
    """A line of the directive: ``line`` is where it stands on the page."""

    labels: tuple[str, ...]
    files: tuple[str, ...]
    outcome: str
    remark: str
    line: int


def points(section: Section, item: str = "item") -> list[Point]:
    """All that a section says, in order and with its heading first; not what its subsections say.

    ``item`` is what the items of its lists are called.
    """
    found = [Point(section.slug, "heading", inline(section.title), section.place.line)]
    count: Counter[str] = Counter()
    for kind, text, line in _statements(section.blocks, item):
        count[kind] += 1
        found.append(Point(f"{section.slug}/{kind}-{count[kind]}", kind, text, line))
    return found


def _statements(blocks: Sequence[Block], item: str, kind: str = "statement") -> Iterator[tuple[str, str, int]]:
    for block in blocks:
        match block:
            case Paragraph():
                text = inline(block.inlines)
                yield "question" if "FIXME" in text else kind, text, block.place.line
            case ItemList():
                for part in block.items:
                    yield from _statements(part.blocks, item, item)
            case Code():
                for command, line in commands(block):
                    yield "command", command, line
            case _:  # the chapter has no others
                raise tex2myst.TexError(f"a {type(block).__name__} has no place in the map")


def commands(code: Code) -> Iterator[tuple[str, int]]:
    """The commands of a block of shell code, each on one line, without comments; and where they begin."""
    # A comment ends with its line; a command goes on after a backslash at the end of its line.
    for match in re.finditer(r"[ \t]*#[^\n]*|(?:[^\n]*\\\n)*[^\n]+", code.text):
        command = re.sub(r"\s*\\\n\s*", " ", match[0]).strip()
        if command and not command.startswith("#"):
            yield command, code.place.line + code.text.count("\n", 0, match.start())


def is_there(file: str) -> bool:
    """Whether an example, or a test named as pytest does, exists."""
    path, _, test = file.partition("::")
    if not (path.startswith("tests/") if test else path.startswith("examples/")) or not (ROOT / path).is_file():
        return False
    return not test or re.search(rf"^def {re.escape(test)}\(", (ROOT / path).read_text(), re.MULTILINE) is not None


class ChapterMap(SphinxDirective):
    """Shows a section for each heading of the chapter: what it says, and what became of it."""

    required_arguments = 1
    has_content = True
    option_spec = {"practice": directives.unchanged_required, "requirement": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        if (found := conversion_report.read(self, "the chapter cannot be read")) is None:
            return []
        document, path = found
        answers = self._answers()
        self._items = {slug: kind for kind, slug in self.options.items()}
        shown = [self._section(section, answers, path.name) for section in document.root.walk()]
        for key, answer in answers.items():
            self._warn(f"{key}: the chapter has no such item", answer.line)
        return shown

    def _warn(self, message: str, line: int) -> None:
        logger.warning(message, location=(self.env.docname, line), type="chapter_map")

    def _answers(self) -> dict[str, Answer]:
        """The lines of the directive by key, with the line of the page that each begins in."""
        entries: list[tuple[str, int]] = []
        for number, line in enumerate(self.content, self.lineno + self.content_offset + 1):
            if line.startswith(" ") and entries:
                text, first = entries[-1]
                entries[-1] = f"{text} {line.strip()}", first
            elif line.strip():
                entries.append((line.strip(), number))
        answers: dict[str, Answer] = {}
        for text, number in entries:
            match = ENTRY.fullmatch(text)
            if not match or match["outcome"] not in OUTCOMES:
                self._warn(f"not KEY: LABEL, ... — {' | '.join(OUTCOMES)}[: REMARK]: {text}", number)
            elif match["key"] in answers:
                self._warn(f"{match['key']}: mapped twice", number)
            else:
                targets = match["targets"].split(", ")
                answers[match["key"]] = Answer(
                    tuple(target for target in targets if "/" not in target),
                    tuple(target for target in targets if "/" in target),
                    match["outcome"], match["remark"] or "", number)
        return answers

    def _section(self, section: Section, answers: dict[str, Answer], name: str) -> nodes.section:
        """Show a section; takes the answers that it shows from ``answers``."""
        heading, *rest = points(section, self._items.get(section.slug, "item"))
        shown = nodes.section(ids=[f"chapter-{section.slug}"])
        shown += nodes.title("", "", *self._inline(heading.text, self.lineno))
        shown += self._answer(heading, answers, name)
        listed = nodes.definition_list()
        for item in rest:
            number = item.key.rpartition("-")[2]
            if item.kind == "command":
                says = [nodes.literal(item.text, item.text, tests=self._tests(item, answers))]
            else:
                says = self._inline(item.text, self.lineno)
            listed += nodes.definition_list_item(
                "",
                nodes.term("", f"{_title(item.kind)} {number}, line {item.line}"),
                nodes.definition("", nodes.paragraph("", "", *says), *self._answer(item, answers, name)),
            )
        if rest:
            shown += listed
        return shown

    @staticmethod
    def _tests(item: Point, answers: dict[str, Answer]) -> list[str]:
        """The tests that run a command of the chapter."""
        files = answers[item.key].files if item.key in answers else ()
        return [file for file in files if "::" in file]

    def _answer(self, item: Point, answers: dict[str, Answer], name: str) -> list[nodes.paragraph]:
        answer = answers.pop(item.key, None)
        if answer is None:
            self._warn(f"{item.key}: nothing answers {name}:{item.line}: {_one_line(item.text)}", self.lineno)
            return []
        if (item.kind == "question") != (answer.outcome == "answered"):
            self._warn(f"{item.key}: an open question is answered, and nothing else is", answer.line)
        if answer.outcome != "kept" and not answer.remark:
            self._warn(f"{item.key}: {answer.outcome} needs a remark that says how", answer.line)
        if item.kind == "command" and not answer.files:
            self._warn(f"{item.key}: a command needs an example that replaces it or a test that shows it wrong",
                       answer.line)
        if not answer.labels:
            self._warn(f"{item.key}: no label of the guide", answer.line)
        for file in answer.files:
            self.env.note_dependency(str(ROOT / file.partition("::")[0]))
            if not is_there(file):
                self._warn(f"{item.key}: no such example or test: {file}", answer.line)
        shown = nodes.paragraph("", "", nodes.strong("", answer.outcome.capitalize()), nodes.Text(" in "))
        for label in answer.labels:
            place = MapTarget("", label=label, key=item.key, where=(self.env.docname, answer.line))
            shown += [place, nodes.Text(", ")]
        shown += [part for file in answer.files for part in (nodes.literal(file, file), nodes.Text(", "))]
        del shown[-1]
        shown += self._inline(f": {answer.remark}" if answer.remark else ".", answer.line)
        return [shown]

    def _inline(self, text: str, line: int) -> list[nodes.Node]:
        shown, messages = self.parse_inline(text, lineno=line - 1)  # MyST counts from 0 here
        return shown + messages


class MapTarget(nodes.Inline, nodes.Element):
    """A place in the guide, until all pages have been read; ``label`` is its label."""


class ResolveMapTargets(SphinxPostTransform):
    """Makes each place a link that says which heading of which page it is."""

    default_priority = 5  # before Sphinx resolves links

    def run(self, **kwargs: Any) -> None:
        labels = self.env.domains.standard_domain.anonlabels
        titles = self.env.domains.standard_domain.labels
        for target in list(self.document.findall(MapTarget)):
            label, key, where = target["label"], target["key"], target["where"]
            if label not in labels:
                logger.warning("%s: undefined label: %r", key, label, location=where, type="chapter_map")
                target.parent.remove(target)
                continue
            page, place = labels[label]
            text = self.env.titles[page].astext()
            top = next(self.env.get_doctree(page).findall(nodes.section), None)
            if top is not None and place in top["ids"]:
                logger.warning("%s: %s is a whole page, not a heading or a block of one", key, label,
                               location=where, type="chapter_map")
            if label in titles:
                text = f"{titles[label][2]} ({text})"
            link = addnodes.pending_xref(
                "", nodes.inline("", text), reftype="ref", refdomain="std", reftarget=label, refexplicit=True,
                refdoc=where[0], refwarn=True)
            target.replace_self(link)


def _title(kind: str) -> str:
    return "Open question" if kind == "question" else kind.capitalize()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(MapTarget)
    app.add_directive("chapter-map", ChapterMap)
    app.add_post_transform(ResolveMapTargets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
