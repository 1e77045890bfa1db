# SPDX-License-Identifier: MIT
"""What a manual is once it has been read: sections of blocks, and blocks of inlines. No LaTeX, no MyST."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .source import Place

STRONG, EMPHASIS, LITERAL = 1, 2, 4
"""Bits of a style; 0 is plain text."""


@dataclass
class Anchor:
    """Something that a label can name; ``target`` is the name it has in the output, if it has one."""

    target: str | None = field(default=None, kw_only=True)


# Inlines: what a paragraph is made of. Each has a style.


@dataclass(slots=True)
class Text:
    text: str
    style: int = 0


@dataclass(slots=True)
class Formula:
    """Mathematics within a line, as LaTeX."""

    tex: str
    style: int = 0


@dataclass(slots=True)
class Break:
    """The end of a line within a paragraph."""

    style: int = 0


@dataclass(slots=True)
class Today:
    """The day on which the pages are built."""

    style: int = 0


@dataclass(slots=True)
class Link:
    """A link to another site."""

    url: str
    text: str
    style: int = 0


@dataclass(slots=True)
class Image:
    """A picture: ``path`` is the file that is there, ``file`` its path in the output."""

    path: Path
    file: str
    style: int = 0


@dataclass(slots=True)
class Reference:
    """A link to what a label names: ``anchor``, once all has been read. Without one it is its ``name``."""

    name: str
    anchor: Anchor | None = None
    style: int = 0


@dataclass(slots=True)
class Footnote:
    blocks: list[Block]
    style: int = 0


Inline = Text | Formula | Break | Today | Link | Image | Reference | Footnote


# Blocks


@dataclass
class Paragraph:
    inlines: list[Inline]
    place: Place


@dataclass
class Code:
    """A block of code: ``file`` is its path in the output, ``place`` is where its first line stands."""

    content: bytes
    encoding: str
    file: str
    language: str
    place: Place

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding)


@dataclass
class Item(Anchor):
    """An item of a list: ``term`` is what it has in place of a number or a bullet, or before the blocks."""

    number: str
    term: list[Inline] | None
    blocks: list[Block] = field(default_factory=list)


@dataclass
class ItemList:
    """A list: ``kind`` is ``itemize``, ``enumerate`` or ``description``."""

    kind: str
    items: list[Item]


@dataclass
class Quote:
    blocks: list[Block]


@dataclass
class Table:
    """Rows of cells, each a list of blocks; all rows have as many cells. The first rows are its head."""

    rows: list[list[list[Block]]]
    head: int


@dataclass
class Float(Anchor):
    """A figure or a table with a caption: ``kind`` is which."""

    kind: str
    blocks: list[Block]
    caption: list[Inline]


@dataclass
class Equation(Anchor):
    """Mathematics on a line of its own, as LaTeX."""

    tex: str


Block = Paragraph | Code | ItemList | Quote | Table | Float | Equation


@dataclass
class Section(Anchor):
    """A heading and what stands under it; ``level`` is the place of its macro in HEADINGS."""

    title: list[Inline]
    slug: str
    level: int
    place: Place
    short: list[Inline] | None = None
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in the order of the text."""
        yield self
        for section in self.sections:
            yield from section.walk()


@dataclass
class Document:
    """The root section, and what there is to report: one ``file:line: ...`` each."""

    root: Section
    reports: list[str]
