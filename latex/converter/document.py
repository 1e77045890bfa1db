# SPDX-License-Identifier: MIT
"""What a manual is once it has been read: sections of blocks, and blocks of inlines. No LaTeX, no MyST.

These are plain classes, since to load dataclasses and let it make them takes as long as to convert a chapter.
"""
from __future__ import annotations

from collections.abc import Iterator

from .source import Place

STRONG, EMPHASIS, LITERAL = 1, 2, 4
"""Bits of a style; 0 is plain text."""


class Anchor:
    """Something that a label can name; ``target`` is the name it has in the output, if it has one."""

    def __init__(self) -> None:
        self.target: str | None = None


# Inlines: what a paragraph is made of. Each has a style.


class Text:
    def __init__(self, text: str, style: int = 0) -> None:
        self.text = text
        self.style = style


class Formula:
    """Mathematics within a line, as LaTeX."""

    def __init__(self, tex: str, style: int = 0) -> None:
        self.tex = tex
        self.style = style


class Break:
    """The end of a line within a paragraph."""

    def __init__(self, style: int = 0) -> None:
        self.style = style


class Today:
    """The day on which the pages are built."""

    def __init__(self, style: int = 0) -> None:
        self.style = style


class Link:
    """A link to another site."""

    def __init__(self, url: str, text: str, style: int = 0) -> None:
        self.url = url
        self.text = text
        self.style = style


class Image:
    """A picture: ``path`` is the file that is there, ``file`` its path in the output."""

    def __init__(self, path: str, file: str, style: int = 0) -> None:
        self.path = path
        self.file = file
        self.style = style


class Reference:
    """A link to what a label names: ``anchor``, once all has been read. Without one it is its ``name``."""

    def __init__(self, name: str, anchor: Anchor | None = None, style: int = 0) -> None:
        self.name = name
        self.anchor = anchor
        self.style = style


class Footnote:
    def __init__(self, blocks: list[Block], style: int = 0) -> None:
        self.blocks = blocks
        self.style = style


Inline = Text | Formula | Break | Today | Link | Image | Reference | Footnote


# Blocks


class Paragraph:
    def __init__(self, inlines: list[Inline], place: Place) -> None:
        self.inlines = inlines
        self.place = place


class Code:
    """A block of code: ``file`` is its path in the output, ``place`` is where its first line stands."""

    def __init__(self, content: bytes, encoding: str, file: str, language: str, place: Place) -> None:
        self.content = content
        self.encoding = encoding
        self.file = file
        self.language = language
        self.place = place

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding)


class Item(Anchor):
    """An item of a list: ``term`` is what it has in place of a number or a bullet, or before the blocks."""

    def __init__(self, number: str, term: list[Inline] | None) -> None:
        super().__init__()
        self.number = number
        self.term = term
        self.blocks: list[Block] = []


class ItemList:
    """A list: ``kind`` is ``itemize``, ``enumerate`` or ``description``."""

    def __init__(self, kind: str, items: list[Item]) -> None:
        self.kind = kind
        self.items = items


class Quote:
    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks


class Table:
    """Rows of cells, each a list of blocks; all rows have as many cells. The first rows are its head."""

    def __init__(self, rows: list[list[list[Block]]], head: int) -> None:
        self.rows = rows
        self.head = head


class Float(Anchor):
    """A figure or a table with a caption: ``kind`` is which."""

    def __init__(self, kind: str, blocks: list[Block], caption: list[Inline]) -> None:
        super().__init__()
        self.kind = kind
        self.blocks = blocks
        self.caption = caption


class Equation(Anchor):
    """Mathematics on a line of its own, as LaTeX."""

    def __init__(self, tex: str) -> None:
        super().__init__()
        self.tex = tex


Block = Paragraph | Code | ItemList | Quote | Table | Float | Equation


class Section(Anchor):
    """A heading and what stands under it; ``level`` is the place of its macro in HEADINGS."""

    def __init__(self, title: list[Inline], slug: str, level: int, place: Place,
                 short: list[Inline] | None = None) -> None:
        super().__init__()
        self.title = title
        self.slug = slug
        self.level = level
        self.place = place
        self.short = short
        self.blocks: list[Block] = []
        self.sections: list[Section] = []

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in the order of the text."""
        yield self
        for section in self.sections:
            yield from section.walk()


class Document:
    """The root section, and what there is to report: one ``file:line: ...`` each."""

    def __init__(self, root: Section, reports: list[str]) -> None:
        self.root = root
        self.reports = reports
