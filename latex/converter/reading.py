# SPDX-License-Identifier: MIT
"""LaTeX to a document: pylatexenc parses, the tables say what becomes what, and this walks from one to the other."""
from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from pylatexenc import latexwalker, macrospec

from . import tables
from .document import (
    LITERAL,
    STRONG,
    Anchor,
    Block,
    Break,
    Code,
    Document,
    Equation,
    Float,
    Formula,
    Image,
    Inline,
    Item,
    Link,
    Paragraph,
    Reference,
    Section,
    Table,
    Text,
)
from .source import Place, Source, TexError, raw_environment, raw_macro, stem

Nodes = Sequence[latexwalker.LatexNode]

RESERVED = ("index", "genindex", "modindex", "py-modindex", "search")  # names that Sphinx takes itself
LINKED = ("http:", "https:", "ftp:", "mailto:")
PICTURES = (".png", ".jpg", ".jpeg")  # what browsers and TeX both show

_BLANK_LINE = re.compile(r"\n[ \t\r\f]*\n\s*")
_BLANKS = re.compile(r"\s*")
_RUN = re.compile(r"[^\s\\{}\[\]$%*][^\\{}\[\]$%*]*")  # characters that mean nothing to the parser
_ENVIRONMENT = re.compile(r"([ \t\r]*\n?[ \t\r]*)\\(begin|end)\s*\{([\w* ._-]+)\}")
_LIGATURE = re.compile("|".join(sorted(map(re.escape, tables.LIGATURES), key=len, reverse=True)))
_MATH_TOKEN = re.compile(r"\\([A-Za-z]+|[^A-Za-z]) *|(.)", re.DOTALL)
_LENGTH = (r"[-+]?(?:[0-9.,]+(?: *true)? *(?:pt|pc|in|bp|cm|mm|dd|cc|sp|em|ex|mu|fil+)?"
           r"|\\(?!begin\b|end\b|item\b)[A-Za-z]+)")
_GAP = r"[ \t\r]*\n?[ \t\r]*"
_ASSIGNED = re.compile(rf"{_GAP}(?:=|to\b|spread\b)?{_GAP}{_LENGTH}(?: *plus *{_LENGTH})?(?: *minus *{_LENGTH})?")
_LABEL_IN_MATH = re.compile(r"\s*\\label\{([^{}]*)\}")
_REPAIR = re.compile(r"-\{\}(?=-)")


# What the parser has to know of the tables


class _Assigned(macrospec.MacroStandardArgsParser):
    """What a length or a number is set to, as in ``\\parskip=1pt plus 1fil`` or ``\\hbox to 1cm``."""

    def parse_args(self, w, pos, parsing_state=None):
        match = _ASSIGNED.match(w.s, pos)
        return macrospec.ParsedMacroArgs(), pos, match.end() - pos if match else 0


class _Raw(macrospec.MacroStandardArgsParser):
    """An argument, or the inside of an environment, that is taken as it stands."""

    def __init__(self, name: str, environment: bool) -> None:
        super().__init__("")
        self.name = name
        self.environment = environment

    def parse_args(self, w, pos, parsing_state=None):
        if self.environment:
            start, after = pos, raw_environment(w.s, self.name, pos)
            end = after
        else:
            found = raw_macro(w.s, pos, braces=self.name != "verb")
            start, end, after = found or (pos, None, None)
        if end is None:  # it stands in an argument of which only a part came here
            raise latexwalker.LatexWalkerParseError(s=w.s, pos=pos, msg=rf"\{self.name} does not end")
        node = w.make_node(latexwalker.LatexCharsNode, parsing_state=parsing_state, chars=w.s[start:end],
                           pos=start, len=end - start)
        return macrospec.ParsedVerbatimArgs(verbatim_chars_node=node), pos, after - pos


def _arguments(name: str, signs: str, environment: bool = False) -> macrospec.MacroStandardArgsParser:
    if signs == "raw":
        return _Raw(name, environment)
    if signs == "=":
        return _Assigned("")
    return macrospec.MacroStandardArgsParser(signs)


class _Walker(latexwalker.LatexWalker):
    """The parser, without what makes it slow in pylatexenc 2.11.

    That makes a token of each character, and copies the rest of the text at each
    \\begin and \\end, so that twice the text takes more than twice the time.
    """

    def get_token(self, pos, include_brace_chars=None, environments=True, **options):
        if match := _RUN.match(self.s, pos):
            return latexwalker.LatexToken("char", match[0], pos, match.end() - pos, "")
        if environments and (match := _ENVIRONMENT.match(self.s, pos)):
            space, kind, name = match.groups()
            start = pos + len(space)
            return latexwalker.LatexToken(f"{kind}_environment", name, start, match.end() - start, space)
        return super().get_token(pos, include_brace_chars=include_brace_chars, environments=environments, **options)

    def get_latex_expression(self, pos, strict_braces=None, parsing_state=None):
        start = _BLANKS.match(self.s, pos).end()
        if _RUN.match(self.s, start):  # of a run only the first character is an argument
            node = self.make_node(latexwalker.LatexCharsNode, parsing_state=parsing_state, chars=self.s[start],
                                  pos=start, len=1)
            return node, start, 1
        return super().get_latex_expression(pos, strict_braces=strict_braces, parsing_state=parsing_state)


Handler = Callable[["Reader", latexwalker.LatexNode, "Flow", int], None]


def _symbol(text: str) -> Handler:
    return lambda reader, node, flow, style: flow.text(text, style, node.pos)


def _accent(mark: str) -> Handler:
    def handler(reader: Reader, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
        letter = reader.plain(reader.argument(node, 0), node.pos)
        if letter.strip():
            text = tables.accented(letter, mark)
        else:  # as in \~{}user
            text = tables.BARE_ACCENTS.get(node.macroname, "") + letter
        flow.text(text, style, node.pos)

    return handler


def _styled(change: Callable[[int], int]) -> Handler:
    return lambda reader, node, flow, style: reader.walk(reader.argument(node, -1), flow, change(style))


def _lines(reader: Reader, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
    flow.end()
    reader.walk(reader.argument(node, -1), flow, style)
    flow.end()


def _contents(reader: Reader, node: latexwalker.LatexEnvironmentNode, flow: Flow, style: int) -> None:
    flow.end()
    reader.walk(node.nodelist, flow, style)
    flow.end()


def _nothing(reader: Reader, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
    pass


def _end_paragraph(reader: Reader, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
    flow.end()


def _left_out(reader: Reader, node: latexwalker.LatexNode, flow: Flow, style: int) -> None:
    reader.report(node.pos, "left out")


def macros() -> dict[str, tuple[str, Handler]]:
    """All macros of the tables: their arguments, and what is done with them."""
    return {
        **{name: (signs, _nothing) for name, signs in (tables.LAYOUT | tables.RULES | tables.HEAD_ENDS).items()},
        **{name: ("", _symbol(name)) for name in tables.CHARACTERS},
        **{name: ("", _symbol(text)) for name, text in (tables.SYMBOLS | tables.SPACES).items()},
        **{name: (signs, _symbol(" ")) for name, signs in tables.SPACES_WITH_ARGUMENT.items()},
        **{name: ("{", _accent(mark)) for name, mark in tables.ACCENTS.items()},
        **{name: ("", _nothing) for name in tables.SWITCHES},
        **{name: ("{", _styled(change)) for name, change in tables.STYLES.items()},
        **{name: (signs, _styled(lambda style: style)) for name, signs in tables.BOXES.items()},
        **{name: (signs, _lines) for name, signs in tables.LINES.items()},
        **{name: (signs, _end_paragraph) for name, signs in tables.PARAGRAPH_ENDS.items()},
        **{name: (signs, _left_out) for name, signs in tables.LEFT_OUT.items()},
        **tables.MACROS,
    }


def environments() -> dict[str, tuple[str, Handler]]:
    """All environments of the tables: their arguments, and what is done with them."""
    return {
        **{name: (signs, _contents) for name, signs in tables.CONTAINERS.items()},
        **{name: ("raw", _left_out) for name in tables.LEFT_OUT_ENVIRONMENTS},
        **tables.ENVIRONMENTS,
    }


def slug(text: str) -> str:
    """A name for files and labels: the letters and digits of ``text``, in lower case, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))


class Names:
    """Gives each thing a name of its own."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def new(self, base: str) -> str:
        name, number = base, self._last.get(base, 1)
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._last[base] = number
        self._taken.add(name)
        return name


def plain_text(inlines: Sequence[Inline]) -> str:
    """The words of inlines, on one line, without their styles."""
    words = []
    for inline in inlines:
        match inline:
            case Text() | Link():
                words.append(inline.text)
            case Formula():
                words.append(inline.tex)
            case Break():
                words.append(" ")
            case Reference():
                words.append(inline.name)
    return " ".join("".join(words).split())


class Flow:
    """Blocks in the making: what is added to it becomes paragraphs, between the blocks that are given as such."""

    def __init__(self, place: Callable[[int], Place]) -> None:
        self.blocks: list[Block] = []
        self._inlines: list[Inline] = []
        self._start = 0
        self._place = place

    def text(self, text: str, style: int, position: int) -> None:
        if not text:
            return
        if not self._inlines:
            stripped = text.lstrip()
            if not stripped:
                return
            self._start = position + len(text) - len(stripped)
        elif isinstance(last := self._inlines[-1], Text) and last.style == style:
            last.text += text
            return
        self._inlines.append(Text(text, style))

    def add(self, inline: Inline, position: int) -> None:
        if not self._inlines:
            if isinstance(inline, Break):
                return
            self._start = position
        self._inlines.append(inline)

    def end(self) -> None:
        """End the paragraph; a line end or a blank before its end is dropped."""
        inlines = self._inlines
        while inlines and (isinstance(last := inlines[-1], Break) or isinstance(last, Text) and not last.text.strip()):
            inlines.pop()
        if inlines:
            self.blocks.append(Paragraph(inlines, self._place(self._start)))
            self._inlines = []

    def block(self, block: Block) -> None:
        self.end()
        self.blocks.append(block)


class Reader:
    """One manual being read: what has been seen of it, and what there is to report."""

    def __init__(self, source: Source, root: str, keep_unknown: bool = False) -> None:
        self.source = source
        self.folder = root
        self.keep_unknown = keep_unknown
        self.title: list[Inline] | None = None
        self.in_table = False
        self.labels: dict[str, Anchor] = {}
        self.cited: dict[str, Anchor] = {}
        self._macros = macros()
        self._environments = environments()
        self._slugs = Names(RESERVED)
        self._targets = Names(RESERVED)
        self._pictures = Names()
        self._picture_files: dict[str, str] = {}
        self._references: list[tuple[Reference, int, dict[str, Anchor]]] = []
        self._reports = list(source.reports)
        self._captions: list[list[Inline] | None] = []
        self._code_blocks = 0
        self._numbers: list[int] = []
        self._top = Flow(source.place)
        self._path: list[Section] = []
        self._anchor: Anchor = Anchor()

    # Places and messages

    def fail(self, position: int, message: str) -> TexError:
        return self.source.fail(position, message)

    def report(self, position: int, message: str) -> None:
        self._reports.append(self.source.report(position, message))

    def find_fixme(self, position: int, text: str) -> None:
        for match in re.finditer("FIXME", text):
            self.report(position + match.start(), "open question")

    def check_encoding(self, name: str, position: int) -> None:
        """Raise TexError for a manual that is not UTF-8, and says of itself that it is not Latin-1 either."""
        read_as_latin_1 = any(origin.file.encoding == "latin-1" for origin in self.source.origins)
        if read_as_latin_1 and name not in ("latin1", "utf8", "utf8x"):
            raise self.fail(position, f"the encoding {name}: only UTF-8 and Latin-1 are read")

    # The whole

    def document(self, stem: str) -> Document:
        """The manual as a tree of sections.

        The root has the title of the manual. Where it gives none, a single heading
        that holds all others is the root, or else the root is titled ``stem``.
        """
        root = Section([Text(stem)], "index", -1, Place(stem, 1, 1))
        self._path = [root]
        self._anchor = root
        self._top.blocks = root.blocks
        self.walk(self._nodes(), self._top, 0)
        self._top.end()
        self._resolve()
        if self.title:
            root.title = self.title
        elif len(root.sections) == 1 and not root.blocks and root.target is None:
            root = root.sections[0]
        reports = sorted(self._reports, key=lambda report: report.position)
        return Document(root, [report.text for report in reports])

    def _nodes(self) -> Nodes:
        context = macrospec.LatexContextDb()
        context.add_context_category(
            "tables",
            macros=[macrospec.MacroSpec(name, _arguments(name, signs)) for name, (signs, _) in self._macros.items()],
            environments=[
                macrospec.EnvironmentSpec(name, _arguments(name, signs, True))
                for name, (signs, _) in self._environments.items()
            ],
        )
        text = self.source.text
        walker = _Walker(text, latex_context=context, tolerant_parsing=False)
        try:
            nodes, start, length = walker.get_latex_nodes()
        except latexwalker.LatexWalkerParseError as error:
            opened = "".join(
                " ({} in {}:{})".format(what, *self.source.place(position)[:2])
                for what, position, _, _ in error.open_contexts[:1]
            )
            message = " ".join(str(error.msg).split())
            raise self.fail(min(error.pos, len(text)), f"{message}{opened}") from None
        if start + length < len(text):  # the parser ends without a word at some errors
            raise self.fail(start + length, "the parser gives up here")
        return nodes

    def _resolve(self) -> None:
        for reference, position, names in self._references:
            reference.anchor = names.get(reference.name)
            if reference.anchor is None:
                self.report(position, f"no label {reference.name}, which becomes text")

    # Sections

    def heading(self, node: latexwalker.LatexMacroNode, flow: Flow) -> None:
        if flow is not self._top:
            raise self.fail(node.pos, rf"\{node.macroname} where it cannot stand")
        short = self.inlines(self.argument(node, 1), 0) or None
        title = self.inlines(self.argument(node, 2), 0)
        level = tables.HEADINGS.index(node.macroname)
        if plain_text(title):
            self._open_section(level, title, short, node.pos)
        elif level < tables.HEADINGS.index("paragraph"):
            raise self.fail(node.pos, rf"\{node.macroname} without a title")
        else:  # manuals have \paragraph{} where a paragraph begins
            flow.end()

    def _open_section(self, level: int, title: list[Inline], short: list[Inline] | None, position: int) -> None:
        self._top.end()
        name = self._slugs.new(slug(plain_text(title)) or "section")
        section = Section(title, name, level, self.source.place(position), short)
        while self._path[-1].level >= level:
            self._path.pop()
        self._path[-1].sections.append(section)
        self._path.append(section)
        self._top.blocks = section.blocks
        self._anchor = section
        self._code_blocks = 0

    def bibliography_heading(self, node: latexwalker.LatexEnvironmentNode, flow: Flow) -> None:
        """LaTeX puts a heading above a bibliography: of a chapter if there are any, else of a section."""
        if flow is self._top:
            chapter = tables.HEADINGS.index("chapter")
            has_chapters = any(section.level == chapter for section in self._path[0].walk())
            self._open_section(chapter if has_chapters else chapter + 1, [Text("Bibliography")], None, node.pos)

    # Arguments

    def _argument(self, node: latexwalker.LatexNode, number: int) -> latexwalker.LatexNode | None:
        if node.nodeargd is None:  # it is itself the argument of another macro, as in \textbf\emph{a}
            raise self.fail(node.pos, rf"\{node.macroname} needs braces around it")
        return node.nodeargd.argnlist[number]

    def argument(self, node: latexwalker.LatexMacroNode, number: int) -> Nodes:
        """The nodes of an argument; none if it is an optional one that is not there."""
        argument = self._argument(node, number)
        if argument is None:
            return []
        return argument.nodelist if argument.isNodeType(latexwalker.LatexGroupNode) else [argument]

    def words(self, node: latexwalker.LatexMacroNode, number: int) -> str:
        """An argument as it stands in the source, with single blanks."""
        argument = self._argument(node, number)
        text = argument.latex_verbatim()
        if argument.isNodeType(latexwalker.LatexGroupNode):
            text = text[len(argument.delimiters[0]) : -len(argument.delimiters[1])]
        return " ".join(text.split())

    def raw(self, node: latexwalker.LatexNode) -> tuple[str, int]:
        """An argument that is taken as it stands, and where it starts."""
        argument = self._argument(node, 0)
        return argument.chars, argument.pos

    def inside(self, node: latexwalker.LatexEnvironmentNode) -> str:
        """The source of an environment between its \\begin and its \\end."""
        if not node.nodelist:
            return ""
        return self.source.text[node.nodelist[0].pos : node.nodelist[-1].pos + node.nodelist[-1].len]

    def blocks(self, nodes: Nodes, style: int) -> list[Block]:
        return self._filled(lambda flow: self.walk(nodes, flow, style))

    def _filled(self, fill: Callable[[Flow], None]) -> list[Block]:
        flow = Flow(self.source.place)
        fill(flow)
        flow.end()
        return flow.blocks

    def inlines(self, nodes: Nodes, style: int) -> list[Inline]:
        """Nodes that make up one line, such as a title. Raises TexError for anything that cannot stand in one."""
        inlines: list[Inline] = []
        for block in self.blocks(nodes, style):
            if not isinstance(block, Paragraph):
                raise self.fail(nodes[0].pos, "a block in what has to be a line")
            inlines += [Break(), *block.inlines] if inlines else block.inlines
        return inlines

    def plain(self, nodes: Nodes, position: int) -> str:
        inlines = self.inlines(nodes, 0)
        if not all(isinstance(inline, Text) for inline in inlines):
            raise self.fail(position, "an accent on something that is no letter")
        return "".join(inline.text for inline in inlines)

    # The walk

    def walk(self, nodes: Nodes, flow: Flow, style: int) -> None:
        """Add what nodes become to a flow. A switch among them counts for those behind it."""
        for node in nodes:
            kind = type(node)
            if kind is latexwalker.LatexCharsNode:
                self._characters(node, flow, style)
            elif kind is latexwalker.LatexMacroNode:
                if change := tables.SWITCHES.get(node.macroname):
                    style = change(style)
                elif found := self._macros.get(node.macroname):
                    found[1](self, node, flow, style)
                else:
                    self._unknown(node.pos, f"macro \\{node.macroname}")
                    flow.text(rf"\{node.macroname}", LITERAL, node.pos)
                    flow.text(" " if node.macro_post_space else "", style, node.pos)
            elif kind is latexwalker.LatexGroupNode:
                self.walk(node.nodelist, flow, style)
            elif kind is latexwalker.LatexEnvironmentNode:
                if found := self._environments.get(node.environmentname):
                    found[1](self, node, flow, style)
                else:
                    self._unknown_environment(node, flow, style)
            else:
                start, end = (len(delimiter) for delimiter in node.delimiters)
                tex = self.source.text[node.pos + start : node.pos + node.len - end]
                if node.displaytype == "inline":
                    self.formula(tex, flow, style, node.pos)
                else:
                    self.equation(tex, flow, node.pos)

    def _unknown(self, position: int, what: str) -> None:
        """What no table names is an error, or is kept and reported."""
        if not self.keep_unknown:
            raise self.fail(position, f"unknown {what}")
        self.report(position, f"kept, unknown {what}")

    def misplaced(self, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
        """What is known but not where it stands is an error, too, or is kept with its arguments and reported."""
        if not self.keep_unknown:
            raise self.fail(node.pos, rf"\{node.macroname} where it cannot stand")
        self.report(node.pos, rf"kept, \{node.macroname} where it cannot stand")
        flow.end()
        flow.text(rf"\{node.macroname}", LITERAL, node.pos)
        flow.text(" ", style, node.pos)
        if node.nodeargd is not None:
            for number in range(len(node.nodeargd.argnlist)):
                self.walk(self.argument(node, number), flow, style)

    def _unknown_environment(self, node: latexwalker.LatexEnvironmentNode, flow: Flow, style: int) -> None:
        self._unknown(node.pos, f"environment {node.environmentname}")
        flow.block(self._kept(rf"\begin{{{node.environmentname}}}", node.pos))
        self.walk(node.nodelist, flow, style)
        flow.block(self._kept(rf"\end{{{node.environmentname}}}", node.pos))

    def _kept(self, text: str, position: int) -> Paragraph:
        return Paragraph([Text(text, LITERAL)], self.source.place(position))

    def _characters(self, node: latexwalker.LatexCharsNode, flow: Flow, style: int) -> None:
        start = 0
        for blank in _BLANK_LINE.finditer(node.chars):
            self._piece(node.chars[start : blank.start()], flow, style, node.pos + start)
            flow.end()
            start = blank.end()
        self._piece(node.chars[start:] if start else node.chars, flow, style, node.pos + start)

    def _piece(self, text: str, flow: Flow, style: int, position: int) -> None:
        self.find_fixme(position, text)
        if style & LITERAL:
            text = text.replace("~", " ")
            for quotes in ("``", "''"):
                for match in re.finditer(quotes, text):
                    self.report(position + match.start(), f'repaired, {quotes} in code is "')
                text = text.replace(quotes, '"')
        else:
            text = _LIGATURE.sub(lambda match: tables.LIGATURES[match[0]], text)
        flow.text(text, style, position)

    # Labels and references

    def label(self, name: str, position: int) -> None:
        """What the reader is in gets a label."""
        if name in self.labels:
            self.report(position, f"label {name} is there already, and the first one counts")
        else:
            self._name(self._anchor, name, self.labels)

    def _name(self, anchor: Anchor, name: str, names: dict[str, Anchor]) -> None:
        names[name] = anchor
        if anchor.target is None:
            anchor.target = self._targets.new(slug(name) or "label")

    def reference(self, name: str, position: int, style: int, names: dict[str, Anchor] | None = None) -> Reference:
        reference = Reference(name, None, style)
        self._references.append((reference, position, self.labels if names is None else names))
        return reference

    def link(self, url: str, text: Nodes | None, flow: Flow, style: int, position: int) -> None:
        """A link, if it leads to another site. Else the text, and the address in parentheses."""
        url = re.sub(r"\\([%#&_~{}])", r"\1", url)
        if url.lower().startswith(LINKED) and not re.search(r"[<>\\\s]", url):
            inlines = self.inlines(text, 0) if text is not None else [Text(url)]
            flow.add(Link(url, plain_text(inlines), style & ~LITERAL), position)
        elif text is None:
            flow.text(url, style | LITERAL, position)
        else:
            self.walk(text, flow, style)
            flow.text(" (", style, position)
            flow.text(url, style | LITERAL, position)
            flow.text(")", style, position)

    # Pictures and captions

    def image(self, name: str, flow: Flow, style: int, position: int) -> None:
        """A picture, or its name where there is none that all formats can show."""
        path = os.path.join(self.folder, name)
        bare, suffix = os.path.splitext(path)
        candidates = [path + other for other in PICTURES]
        if suffix.lower() in PICTURES:
            candidates.insert(0, path)
        elif suffix:
            candidates += [bare + other for other in PICTURES]
        found = next((path for path in candidates if os.path.isfile(path)), None)
        if found is None:
            self.report(position, f"no PNG or JPEG of the picture {name}, which becomes its name")
            flow.text(name, style, position)
            return
        if found not in self._picture_files:
            given = self._pictures.new(slug(stem(found)) or "picture")
            self._picture_files[found] = f"images/{given}{os.path.splitext(found)[1].lower()}"
        flow.add(Image(found, self._picture_files[found], style & ~LITERAL), position)

    def float_(self, kind: str, fill: Callable[[Flow], None], flow: Flow) -> None:
        """A figure or a table, which ``fill`` adds to a flow; without a caption it is just what is in it."""
        outer, self._anchor = self._anchor, Float(kind, [], [])
        self._captions.append(None)
        blocks = self._filled(fill)
        made, self._anchor = self._anchor, outer
        caption = self._captions.pop()
        if caption is not None:
            made.blocks, made.caption = blocks, caption
            flow.block(made)
            return
        for name, anchor in self.labels.items():  # it means what is around the float
            if anchor is made:
                self._name(outer, name, self.labels)
        for block in blocks:
            flow.block(block)

    def caption(self, node: latexwalker.LatexMacroNode, flow: Flow, style: int) -> None:
        if not self._captions:
            self.misplaced(node, flow, style)
            return
        if self.argument(node, 1):
            self.report(node.pos, "left out, the short form of a caption")
        inlines = self.inlines(self.argument(node, 2), 0)
        if self._captions[-1]:
            inlines = [*self._captions[-1], Break(), *inlines]
        self._captions[-1] = inlines

    # Mathematics

    def formula(self, tex: str, flow: Flow, style: int, position: int) -> None:
        self.find_fixme(position, tex)
        text = ""
        for match in _MATH_TOKEN.finditer(tex.strip()):
            sign = tables.MATH_SYMBOLS.get(match[1]) if match[1] else match[2] in tables.MATH_CHARACTERS and match[2]
            if not sign:
                flow.add(Formula(" ".join(tex.split()), style & ~LITERAL), position)
                return
            text += sign
        flow.text(text, style, position)

    def equation(self, tex: str, flow: Flow, position: int) -> None:
        self.find_fixme(position, tex)
        equation = Equation("")
        outer, self._anchor = self._anchor, equation
        for match in _LABEL_IN_MATH.finditer(tex):
            self.label(match[1], position)
        self._anchor = outer
        equation.tex = "\n".join(line.strip() for line in _LABEL_IN_MATH.sub("", tex).splitlines() if line.strip())
        if equation.tex:
            flow.block(equation)

    # Code

    def repair(self, text: str, start: int) -> str:
        """Verbatim text: ``-{}-`` is how text writes two hyphens, and wrong here."""
        self.find_fixme(start, text)
        for match in _REPAIR.finditer(text):
            self.report(start + match.start(), "repaired, -{}- is --")
        return _REPAIR.sub("-", text)

    def code(self, text: str, start: int, environment: str = "verbatim") -> Code:
        """A block of code that begins at ``start``, repaired and with a file of its own."""
        if environment in ("Verbatim", "lstlisting") and (options := re.match(r"[ \t]*\[[^\]\n]*\]", text)):
            text, start = text[options.end() :], start + options.end()
        if line_end := re.match(r"\r?\n", text):
            text, start = text[line_end.end() :], start + line_end.end()
        return self._code(self.repair(text, start), self.source.encoding(start), self.source.place(start))

    def _code(self, text: str, encoding: str, place: Place) -> Code:
        self._code_blocks += 1
        suffix, language = next(
            (rest for pattern, *rest in tables.LANGUAGES if re.search(pattern, text, re.MULTILINE)), tables.NO_LANGUAGE
        )
        file = f"code/{self._path[-1].slug}-{self._code_blocks}{suffix}"
        content = text.encode(encoding)
        return Code(content, "utf-8" if content.isascii() else encoding, file, language, place)

    def code_of(self, blocks: list[Block]) -> list[Block]:
        """The blocks if they are all code, with a block of code for paragraphs of it; else none.

        An address is set in the type of code, but nothing to run.
        """
        made: list[Block] = []
        for block in blocks:
            if isinstance(block, Paragraph):
                lines = [""]
                for inline in block.inlines:
                    match inline:
                        case Break():
                            lines.append("")
                        case Text() if inline.style & LITERAL or not inline.text.strip():
                            lines[-1] += inline.text
                        case _:
                            return []
                lines = [" ".join(line.split()) for line in lines]
                if any(re.match(r"\w+://", line) for line in lines):
                    return []
                made.append(self._code("\n".join(lines) + "\n", "utf-8", block.place))
            elif isinstance(block, Code):
                made.append(block)
            else:
                return []
        return made

    # Lists

    def items(self, node: latexwalker.LatexEnvironmentNode, macro: str, style: int) -> list[Item]:
        """The items of a list; those of an ``enumerate`` can have labels."""
        contents: list[tuple[latexwalker.LatexMacroNode | None, list[latexwalker.LatexNode]]] = [(None, [])]
        for child in node.nodelist:
            if child.isNodeType(latexwalker.LatexMacroNode) and child.macroname == macro:
                contents.append((child, []))
            else:
                contents[-1][1].append(child)
        before = contents.pop(0)[1]
        if self.blocks(before, style):
            first = next(node for node in before if node.latex_verbatim().strip())
            raise self.fail(first.pos, rf"text before the first \{macro} of {node.environmentname}")
        items = []
        number = 0
        for child, nodes in contents:
            label = child.nodeargd.argnlist[0]
            term = self.inlines(self.argument(child, 0), style) if label is not None else None
            if label is None:
                number += 1
            item = Item(".".join(map(str, [*self._numbers, number])), term)
            if macro == "bibitem":
                key = self.words(child, 1)
                item.term = [Text("["), *(term or [Text(str(number))]), Text("]")]
                if key in self.cited:
                    self.report(child.pos, f"entry {key} is there already, and the first one counts")
                else:
                    self._name(item, key, self.cited)
            if node.environmentname == "enumerate":
                outer, self._anchor = self._anchor, item
                self._numbers.append(number)
                item.blocks = self.blocks(nodes, style)
                self._numbers.pop()
                self._anchor = outer
            else:
                item.blocks = self.blocks(nodes, style)
            items.append(item)
        return items

    # Tables

    def table(self, node: latexwalker.LatexEnvironmentNode, style: int) -> Table:
        """A table: \\\\ ends a row, & a cell. Rows without anything in them are left out."""
        rows: list[list[list[Block]]] = []
        rules: set[int] = set()  # after how many rows there is one
        head = 0
        outer, self.in_table = self.in_table, True
        for child in self._cells(node, style):
            if isinstance(child, str):
                if child in tables.RULES:
                    rules.add(len(rows))
                else:
                    head = len(rows)
            elif any(child):
                rows.append(child)
        self.in_table = outer
        width = max(map(len, rows), default=0)
        for row in rows:
            row += [[] for _ in range(width - len(row))]
        if not head and len(rows) > 1:
            ruled = 1 in rules and (2 not in rules or len(rows) == 2)
            bold = [all(not cell or _is_bold(cell) for cell in row) for row in rows]
            head = int(ruled or bold[0] and not all(bold))
        return Table(rows, head)

    def _cells(self, node: latexwalker.LatexEnvironmentNode, style: int) -> Iterator[list[list[Block]] | str]:
        """The rows of a table, and the names of the rules between them."""
        row: list[list[Block]] = []
        cell: list[latexwalker.LatexNode] = []
        spans = 1

        def end_cell() -> None:
            nonlocal spans
            row.append(self.blocks(cell, style))
            row.extend([] for _ in range(spans - 1))
            cell.clear()
            spans = 1

        for child in node.nodelist:
            name = child.macroname if child.isNodeType(latexwalker.LatexMacroNode) else None
            if child.isNodeType(latexwalker.LatexCharsNode) and "&" in child.chars:
                start = 0
                for part in child.chars.split("&"):
                    if start:
                        end_cell()
                    cell.append(latexwalker.LatexCharsNode(part, pos=child.pos + start, len=len(part)))
                    start += len(part) + 1
            elif name in tables.ROW_ENDS:
                end_cell()
                yield row
                row = []
            elif name in tables.RULES or name in tables.HEAD_ENDS:
                yield name
            else:
                if name == "multicolumn":
                    spans = int(self.words(child, 0)) if re.fullmatch("[1-9][0-9]?", self.words(child, 0)) else 1
                cell.append(child)
        end_cell()
        yield row


def _is_bold(cell: list[Block]) -> bool:
    return all(
        isinstance(block, Paragraph) and all(i.style & STRONG for i in block.inlines if not isinstance(i, Break))
        for block in cell
    )


def read(source: Source, name: str, root: str | None = None, keep_unknown: bool = False) -> Document:
    """Read a manual; ``root`` is where its pictures are, if not in the folder of ``name``.

    Raises TexError for what is not LaTeX, and for what the tables do not name.
    """
    reader = Reader(source, root or os.path.dirname(name), keep_unknown)
    try:
        return reader.document(stem(name))
    except RecursionError:
        raise TexError(f"{name}:1:1: groups or environments are nested too deeply") from None
