# SPDX-License-Identifier: MIT
"""A document as MyST pages.

The pages need Sphinx with myst_parser, ``numfig = True`` and the extensions
attrs_inline, colon_fence and deflist; they bear all others that myst_parser has,
but for ``linkify``, ``replacements``, ``smartquotes``, ``strikethrough`` and the
two of HTML, which give text a meaning that it does not have in CommonMark.
"""
from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from .document import (
    EMPHASIS,
    LITERAL,
    STRONG,
    Block,
    Break,
    Code,
    Document,
    Equation,
    Float,
    Footnote,
    Formula,
    Image,
    Inline,
    Item,
    ItemList,
    Link,
    Paragraph,
    Quote,
    Reference,
    Section,
    Table,
    Text,
    Today,
)
from .reading import plain_text
from .source import stem
from .tables import HEADINGS

DEPTHS = 6  # of headings in Markdown
SIGNS = {"itemize": "-*", "enumerate": ".)", "description": "::"}
NOTHING = "&nbsp;"  # where MyST needs something

_SIGNS = {STRONG: "**", EMPHASIS: "*", STRONG | EMPHASIS: "***"}
# Both ends of emphasised text, until its neighbours are known; no text has these characters.
_OPENS, _CLOSES = "\1", "\2"
_COMMENT = "<!-- -->"
_LINE_END = re.compile("[\u2028\u2029\x0c\r]")


def render(document: Document, split: str = "section") -> dict[str, bytes]:
    """The files of the output: path to content. Headings down to ``split`` begin a page."""
    level = HEADINGS.index(split) if split in HEADINGS else -1
    output = _Output(level, set(_too_deep(document.root, 1, level)))
    _Page(document.root, "index", output).render()
    return output.files


def inline(inlines: Sequence[Inline]) -> str:
    """The MyST of inlines in a paragraph; not of footnotes, which need a page to stand on."""
    return _Page(None, "", _Output(0, set())).inline(inlines)


class _Output:
    """What all pages share. Headings down to ``level`` begin a page; ``deep`` are the slugs of those too deep."""

    def __init__(self, level: int, deep: set[str]) -> None:
        self.level = level
        self.deep = deep
        self.files: dict[str, bytes] = {}


def _too_deep(section: Section, depth: int, level: int) -> Iterator[str]:
    """The slugs of sections that get no heading, since Markdown has no more than six depths of them."""
    if depth > DEPTHS:
        yield section.slug
    for child in section.sections:
        yield from _too_deep(child, 1 if child.level <= level else depth + 1, level)


class _Page:
    """A page in the making: its section, and the footnotes that will stand at its end."""

    def __init__(self, section: Section | None, name: str, output: _Output) -> None:
        self.section = section
        self.name = name
        self.output = output
        self.files = output.files
        self.pages: list[Section] = []
        self.footnotes: list[Footnote] = []

    def render(self) -> None:
        parts = self.sections(self.section, 1)
        if self.pages:
            entries = [
                f"{_toctree_title(page.short)} <{page.slug}>" if page.short else page.slug for page in self.pages
            ]
            parts.append("\n".join(["```{toctree}", *entries, "```"]))
        number = 0
        while number < len(self.footnotes):  # a footnote can have footnotes
            text = "\n\n".join(self.blocks(self.footnotes[number].blocks))
            number += 1
            parts.append(f"[^{number}]: " + textwrap.indent(text, "    ").lstrip(" "))
        self.files[f"{self.name}.md"] = ("\n\n".join(parts) + "\n").encode()
        for page in self.pages:
            _Page(page, page.slug, self.output).render()

    def sections(self, section: Section, depth: int) -> list[str]:
        """A section's blocks, and those below it but for the ones that begin a page: they go to ``pages``."""
        if section.slug in self.output.deep:
            heading = self.line([Text(plain_text(section.title), STRONG)])
        else:
            heading = "#" * depth + " " + re.sub("#(?=#*$)", r"\#", self.line(section.title))
        parts = ["\n".join([*_target(section.target), heading]), *self.blocks(section.blocks)]
        for child in section.sections:
            if child.level <= self.output.level:
                self.pages.append(child)
            else:
                parts += self.sections(child, depth + 1)
        return parts

    # Blocks

    def blocks(self, blocks: Sequence[Block]) -> list[str]:
        parts: list[str] = []
        before, turn = None, 0
        for block in blocks:
            match block:
                case Paragraph():
                    parts.append(self.inline(block.inlines))
                case Code():
                    parts.append(self.code(block))
                case ItemList():
                    # Of two lists in a row the second has another sign, or they would be one.
                    turn = 1 - turn if isinstance(before, ItemList) and before.kind == block.kind else 0
                    if turn and block.kind == "description":
                        parts.append("% another list")
                    parts.append(self.list(block, SIGNS[block.kind][turn]))
                case Quote():
                    lines = "\n\n".join(self.blocks(block.blocks)).split("\n")
                    parts.append("\n".join(f"> {line}".rstrip(" ") for line in lines))
                case Table():
                    parts.append(self.table(block))
                case Float():
                    parts.append(self.float(block))
                case Equation():
                    parts.append(_directive("```", "math", "", {"label": block.target}, block.tex))
            before = block
        return parts

    def code(self, code: Code) -> str:
        self.files[code.file] = code.content
        options = {"language": code.language}
        if code.encoding != "utf-8":
            options["encoding"] = code.encoding
        if code.language != "text":
            options["force"] = ""  # the language is a guess
        return _directive("```", "literalinclude", code.file, options)

    def list(self, items: ItemList, sign: str) -> str:
        texts = [self.item(item, number, sign) for number, item in enumerate(items.items, 1)]
        return ("\n\n" if items.kind == "description" else "\n").join(texts)

    def item(self, item: Item, number: int, sign: str) -> str:
        if sign == ":":
            return self.definition(item)
        marker = (f"{number}{sign}" if sign in ".)" else sign) + " "
        blocks = item.blocks
        if item.term is not None:  # what stands in place of the number or the bullet begins the text
            first, rest = (blocks[0], blocks[1:]) if blocks and isinstance(blocks[0], Paragraph) else (None, blocks)
            inlines = [*item.term, *([Text(" "), *first.inlines] if first else [])]
            blocks = [Paragraph(inlines, None), *rest]
        text = "\n\n".join(self.blocks(blocks))
        if item.target:
            text = "\n".join([*_target(item.target), text or NOTHING])
        return _behind(marker, text)

    def definition(self, item: Item) -> str:
        term = self.line(item.term or []) or NOTHING
        if item.target:
            term = f"[{term}]{{#{item.target}}}"
        return term + "\n" + _behind(": ", "\n\n".join(self.blocks(item.blocks)) or NOTHING)

    def table(self, table: Table, caption: str = "", name: str | None = None) -> str:
        rows = []
        for row in table.rows:
            cells = [_behind("- ", "\n\n".join(self.blocks(cell))) for cell in row]
            rows.append(_behind("* ", "\n".join(cells)))
        options = {"name": name, "header-rows": str(table.head) if table.head else None}
        return _directive(":::", "list-table", caption, options, "\n".join(rows))

    def float(self, float_: Float) -> str:
        match _numbered(float_):
            case Image() as image:
                options = {"name": float_.target, "alt": _alternative(image)}
                return _directive(":::", "figure", self.picture(image), options, self.inline(float_.caption))
            case Table() as table:
                return self.table(table, self.line(float_.caption), float_.target)
        parts = self.blocks(float_.blocks)
        parts.append("\n".join([*_target(float_.target), self.inline(float_.caption)]))
        return "\n\n".join(parts)

    def picture(self, image: Image) -> str:
        """The path of a picture in the output, where it is put once."""
        if image.file not in self.files:
            with open(image.path, "rb") as picture:
                self.files[image.file] = picture.read()
        return image.file

    # Inlines

    def line(self, inlines: Sequence[Inline]) -> str:
        """Inlines on one line, for what cannot have more."""
        joined: list[Inline] = []
        for inline in inlines:
            match inline:
                case Break():
                    joined.append(Text(" "))
                case Text():
                    joined.append(Text(inline.text.replace("\n", " "), inline.style))
                case _:
                    joined.append(inline)
        return self.inline(joined)

    def inline(self, inlines: Sequence[Inline]) -> str:
        parts = []
        for style, group in groupby(inlines, key=lambda inline: inline.style & (STRONG | EMPHASIS)):
            text = "".join(self._pieces(list(group)))
            bare = text.strip()
            if style and bare:
                # Emphasis begins and ends at something else than a blank.
                start = text.index(bare)
                sign = _SIGNS[style]
                text = f"{text[:start]}{_OPENS}{sign}{bare}{sign}{_CLOSES}{text[start + len(bare):]}"
            parts.append(text)
        return _finish("".join(parts))

    def _pieces(self, inlines: Sequence[Inline]) -> list[str]:
        pieces = []
        for literal, group in groupby(inlines, key=lambda inline: isinstance(inline, Text) and inline.style & LITERAL):
            if literal:
                pieces.append(_literal("".join(inline.text for inline in group)))
                continue
            pieces += [self._piece(inline) for inline in group]
        return pieces

    def _piece(self, inline: Inline) -> str:
        match inline:
            case Text():
                return _escape(inline.text)
            case Formula():
                return _role("math", inline.tex)
            case Break():
                return " \\\n"  # with a blank, as the formats that have no line ends would join two words
            case Today():
                return _role("sub-ref", "today")
            case Link():
                if inline.text == inline.url and re.fullmatch("[!-$&-~]*", inline.url):  # shown as it stands
                    return f"<{inline.url}>"
                return f"[{_escape(inline.text)}](<{inline.url}>)"
            case Image():
                return f"![{_escape(_alternative(inline))}]({self.picture(inline)})"
            case Footnote():
                self.footnotes.append(inline)
                return f"[^{len(self.footnotes)}]"
            case Reference():
                return self._reference(inline)
        raise TypeError(inline)

    def _reference(self, reference: Reference) -> str:
        """A link to what a label names; text where nothing has that label."""
        match reference.anchor:
            case None:
                return _escape(reference.name)
            case Section() as section if section.slug not in self.output.deep:
                return _role("ref", section.target)
            case Section() as section:
                return _role("ref", f"{plain_text(section.title)} <{section.target}>")
            case Item() as item:
                words = plain_text(item.term).strip("[]") if item.term else item.number
                return _role("ref", f"{words or item.number} <{item.target}>")
            case Float() as float_ if _numbered(float_):
                return _role("numref", f"{{number}} <{float_.target}>")
            case Float() as float_:
                return _role("ref", f"{plain_text(float_.caption) or float_.target} <{float_.target}>")
            case Equation() as equation:
                return _role("eq", equation.target)
        raise TypeError(reference.anchor)


def _target(name: str | None) -> list[str]:
    return [f"({name})="] if name else []


def _alternative(image: Image) -> str:
    return stem(image.path)


def _toctree_title(inlines: Sequence[Inline]) -> str:
    return re.sub("[<>]", "", plain_text(inlines))  # no way to write them there


def _numbered(float_: Float) -> Image | Table | None:
    """What a float is for Sphinx, which counts it then: the one picture of a figure, the one table of a table."""
    match float_.kind, float_.blocks:
        case ("figure", [Paragraph(inlines=[Image() as image])]):
            return image
        case ("table", [Table() as table]):
            return table
    return None


def _directive(
    fence: str, name: str, argument: str, options: dict[str, str | None], content: str = ""
) -> str:
    """A directive whose fence is longer than any in its content."""
    sign = fence[0]
    longest = max((len(run) for run in re.findall(rf"^[ >*:-]*?({sign}{{3,}})", content, re.MULTILINE)), default=2)
    fence = sign * max(3, longest + 1)
    lines = [f"{fence}{{{name}}} {argument}".rstrip()]
    lines += [f":{key}: {value}".rstrip() for key, value in options.items() if value is not None]
    if content:
        lines += ["", content]
    return "\n".join([*lines, fence])


def _behind(marker: str, text: str) -> str:
    """Text behind the marker of a list item, all its lines below each other."""
    return (marker + textwrap.indent(text, " " * len(marker)).lstrip(" ")).rstrip(" ")


def _role(name: str, text: str) -> str:
    return f"{{{name}}}" + _quoted(" ".join(text.split()))


def _quoted(text: str) -> str:
    """Text between backquotes, more of them than it has in a row, and apart from its own."""
    runs = {len(run) for run in re.findall("`+", text)}
    fence = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _literal(text: str) -> str:
    """Code within a line; the blanks at its ends stand outside."""
    bare = " ".join(text.split())
    if not bare:
        return " " if text else ""
    before, after = (" " if text[i].isspace() else "" for i in (0, -1))
    return before + _quoted(bare) + after


_HYPHENS = re.compile("-(?=-)")  # which smart quotes would make one dash of
_SPECIAL = re.compile(r"[\\`*\[\]{$]|<(?=[A-Za-z/!?]|\Z)|&(?=#|\w+;|\Z)|(?<![^\W_])_|_(?![^\W_])|!\Z")


def _escape(text: str) -> str:
    """Text as MyST that means the same text, wherever in a line it stands; see _finish for line starts."""
    text = _LINE_END.sub(" ", text)
    text = _SPECIAL.sub(lambda match: "\\" + match[0], text)
    return _HYPHENS.sub("-" + _COMMENT, text)


# At the start of a line, what begins a list, a heading, a quotation, a fence, a table, a field, a comment ...
_LINE_START = re.compile(r"(?=[-+:%=>#|~])|(?=\(.*\)=$)")
_NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")


def _finish(text: str) -> str:
    """Put a paragraph's pieces in order, with what only the neighbours can tell.

    Emphasis does not end between a sign and a letter (``**a.**b``), nor begin
    there; an empty comment between the two makes it do so. A line must not begin
    like something else than text.
    """
    text = text.replace(_CLOSES + _OPENS, _COMMENT)
    if _OPENS in text:
        text = re.sub(rf"(?<=[^\s!-/:-@\[-`{{-~]){_OPENS}(?=\*+[\W_])", _COMMENT, text)
        text = re.sub(rf"([\W_]\*{{1,3}}){_CLOSES}(?=[^\s!-/:-@\[-`{{-~])", rf"\1{_COMMENT}", text)
        text = text.replace(_OPENS, "").replace(_CLOSES, "")
    lines = []
    for raw in text.split("\n"):
        line = re.sub(r"[ \t]+", " ", raw).strip(" ")
        if line:
            line = _NUMBERED.sub(r"\1\\\2", line)
            lines.append("\\" + line if _LINE_START.match(line) else line)
    return "\n".join(lines)
