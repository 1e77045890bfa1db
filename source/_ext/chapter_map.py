# SPDX-License-Identifier: MIT
"""The directive ``chapter-map``: what the LaTeX chapter says, and where the guide answers it.

::

    ```{chapter-map} ../../latex/securing-xen.tex
    a-section: a-label — kept
    a-section/command-1: a-label, another — corrected: the reason, in MyST.
      A line that is indented goes on with the one before.
    ```

The argument is the chapter, relative to the page. It is read by the converter, so
what is listed here is what ``make convert`` shows. Its items have keys that are
made of the section's title and a number: ``SECTION`` is the heading itself,
``SECTION/statement-N`` a paragraph, ``SECTION/item-N`` a paragraph in a list,
``SECTION/command-N`` a command in a block of code, and ``SECTION/question-N`` a
paragraph anywhere that holds a FIXME. Each line maps one to labels of the guide.

An item without a line, a line without an item, a malformed line and a label that
does not exist are warnings, so that ``sphinx-build -W`` fails.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from latex import tex2myst

logger = logging.getLogger(__name__)

KINDS = {
    "statement": "Statement",
    "item": "Item",
    "command": "Command",
    "question": "Open question",
}
OUTCOMES = ("kept", "corrected", "answered")
ENTRY = re.compile(
    r"(?P<key>\S+): (?P<labels>[\w-]+(, [\w-]+)*) — (?P<outcome>\w+)(: (?P<remark>\S.*))?"
)


@dataclass(frozen=True)
class Item:
    """Something that the chapter says; ``text`` is MyST, but for a command: there it is the command."""

    key: str
    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Answer:
    """A line of the directive: ``line`` is where it stands on the page."""

    labels: tuple[str, ...]
    outcome: str
    remark: str
    line: int


def items(section: tex2myst.Section) -> list[Item]:
    """All that a section says, in order and with its heading first; not what its subsections say."""
    found = [Item(section.slug, "heading", section.title, section.line)]
    count: Counter[str] = Counter()
    for kind, text, line in _statements(section.blocks):
        count[kind] += 1
        found.append(Item(f"{section.slug}/{kind}-{count[kind]}", kind, text, line))
    return found


def _statements(blocks: Sequence[tex2myst.Block], kind: str = "statement") -> Iterator[tuple[str, str, int]]:
    for block in blocks:
        match block:
            case tex2myst.Paragraph():
                yield "question" if "FIXME" in block.text else kind, block.text, block.line
            case tex2myst.NumberedList():
                for item in block.items:
                    yield from _statements(item, "item")
            case tex2myst.Code():
                for command, line in commands(block):
                    yield "command", command, line


def commands(code: tex2myst.Code) -> Iterator[tuple[str, int]]:
    """The commands of a block of shell code, each on one line, without comments; and where they begin."""
    # A comment ends with its line; a command goes on after a backslash at the end of its line.
    for match in re.finditer(r"[ \t]*#[^\n]*|(?:[^\n]*\\\n)*[^\n]+", code.text):
        command = re.sub(r"\s*\\\n\s*", " ", match[0]).strip()
        if command and not command.startswith("#"):
            yield command, code.line + code.text.count("\n", 0, match.start())


class ChapterMap(SphinxDirective):
    """Shows a section for each heading of the chapter: what it says, and what became of it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            document = tex2myst.read(path)
        except (OSError, tex2myst.TexError) as error:
            self._warn(f"the chapter cannot be read: {error}", self.lineno)
            return []
        answers = self._answers()
        shown = [self._section(section, answers, Path(path).name) for section in document.root.walk()]
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
                labels = tuple(match["labels"].split(", "))
                answers[match["key"]] = Answer(labels, match["outcome"], match["remark"] or "", number)
        return answers

    def _section(self, section: tex2myst.Section, answers: dict[str, Answer], name: str) -> nodes.section:
        """Show a section; takes the answers that it shows from ``answers``."""
        heading, *rest = items(section)
        shown = nodes.section(ids=[f"chapter-{section.slug}"])
        shown += nodes.title("", "", *self._inline(heading.text, self.lineno))
        shown += self._answer(heading, answers, name)
        listed = nodes.definition_list()
        for item in rest:
            number = item.key.rpartition("-")[2]
            if item.kind == "command":
                says = [nodes.literal(item.text, item.text)]
            else:
                says = self._inline(item.text, self.lineno)
            listed += nodes.definition_list_item(
                "",
                nodes.term("", f"{KINDS[item.kind]} {number}, line {item.line}"),
                nodes.definition("", nodes.paragraph("", "", *says), *self._answer(item, answers, name)),
            )
        if rest:
            shown += listed
        return shown

    def _answer(self, item: Item, answers: dict[str, Answer], name: str) -> list[nodes.paragraph]:
        answer = answers.pop(item.key, None)
        if answer is None:
            self._warn(f"{item.key}: nothing answers {name}:{item.line}: {_one_line(item.text)}", self.lineno)
            return []
        if (item.kind == "question") != (answer.outcome == "answered"):
            self._warn(f"{item.key}: an open question is answered, and nothing else is", answer.line)
        if answer.outcome != "kept" and not answer.remark:
            self._warn(f"{item.key}: {answer.outcome} needs a remark that says how", answer.line)
        where = ", ".join(f"{{ref}}`{label}`" for label in answer.labels)
        remark = f": {answer.remark}" if answer.remark else "."
        text = f"**{answer.outcome.capitalize()}** in {where}{remark}"
        return [nodes.paragraph("", "", *self._inline(text, answer.line))]

    def _inline(self, text: str, line: int) -> list[nodes.Node]:
        shown, messages = self.parse_inline(text, lineno=line - 1)  # MyST counts from 0 here
        return shown + messages


def _one_line(text: str) -> str:
    return " ".join(text.split())


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("chapter-map", ChapterMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
