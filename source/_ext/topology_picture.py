# SPDX-License-Identifier: MIT
"""A scenario's topology as a picture (SVG) and in words, from the file that the lab builds its hosts from.

Networks are bands, one below the other: the farther a packet from there has to travel to the nodes, the
higher. A host stands above the nearest network that it is on, the nodes stand below theirs. A node is drawn
as it is built: its outside card is a port of the bridge, and the guest hangs on that bridge by its vif.

The paths of a topology are drawn upon it, ``before`` the rules and ``after``: an attacker's goes on, as a line drawn
through, or is dotted and ends at a cross; one that is wanted is dashed. A legend says so.

Only classes are drawn, no colours: in HTML the style sheet of the guide gives them (so that dark mode works),
in the PDF :data:`PRINT_STYLE` does.
"""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from tests.lab.topology import Host, Interface, Network, Path, Topology

ATTACKERS = ("outsider", "guest")
FORWARDING = ("router", "border firewall")
BOX, GAP, PAD, LINE, WIRE, LANE = 178, 16, 7, 13, 24, 7
"""Width of a host's box, space between boxes, space within them, height of a line, length of a wire, width of the lane
of a path."""
LETTER = 6.1
"""Width of a letter of the addresses, which are set in a fixed width font of 10 units."""
PRINT_STYLE = """
text{font:11px 'DejaVu Sans',sans-serif;fill:#000}
.name,.network-name{font-weight:bold}.role,.port{font-size:9px;fill:#333}
.address,.prefix{font:10px 'DejaVu Sans Mono',monospace}
.host,.bridge{fill:#fff;stroke:#333}.node{fill:#f2f2f2}
.attacker{stroke:#a00000;stroke-width:2;stroke-dasharray:5 3}
.network{fill:#dce6f2;stroke:#335}.wire{stroke:#333;stroke-width:1.5;fill:none}
.path{fill:none;stroke-width:3}.head{stroke:none}
.network-name,.prefix{stroke:#dce6f2;stroke-width:4;paint-order:stroke}
.open{stroke:#a00000}.head.open{fill:#a00000}.stopped{stroke:#a00000;stroke-dasharray:1 5;stroke-linecap:round}
.wanted{stroke:#00529b;stroke-dasharray:9 4}.head.wanted{fill:#00529b}.cross{stroke:#a00000;stroke-width:3;fill:none}
"""
TITLES = {"before": "Without the rules", "after": "With the rules"}
"""The two pictures of a topology that has paths."""
LEGEND = {"open": "an attacker gets through", "stopped": "an attacker is stopped",
          "wanted": "goes through, as it should"}
"""What the ways to draw a path mean."""


@dataclass
class Box:
    """A rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


def role(host: Host) -> str:
    """The role of a host in words; that it attacks must not be told by colour alone."""
    return f"{host.role}, attacker" if host.role in ATTACKERS else host.role


def in_words(topology: Topology) -> list[tuple[str, str]]:
    """The networks and hosts of a topology: name and a sentence that says what the picture shows of it."""
    networks = [
        (network.title, f"A network: {' and '.join(network.prefixes)}.")
        for network in topology.networks.values()
    ]
    hosts = []
    for host in topology.hosts.values():
        ends = "; ".join(_end_in_words(topology, interface) for interface in host.interfaces.values())
        on = f" on {host.node}" if host.node else ""
        what = f"{host.role}{on}" + (", an attacker" if host.role in ATTACKERS else "")
        hosts.append((host.name, f"{what[0].upper()}{what[1:]}: {ends}."))
    return networks + hosts + paths_in_words(topology)


def paths_in_words(topology: Topology) -> list[tuple[str, str]]:
    """Who gets where without the rules and with them; nothing where the topology names no paths."""
    def sentence(path: Path, after: bool) -> str:
        by = f" by {path.interface}" if path.interface else ""
        if after and path.stopped_by:
            return f"{path.source} is stopped by {path.stopped_by}"
        return f"{path.source} reaches port {path.port} of {path.target}{by}"
    return [(title, "; ".join(sentence(path, view == "after") for path in topology.paths) + ".")
            for view, title in TITLES.items() if topology.paths]


def _end_in_words(topology: Topology, interface: Interface) -> str:
    addresses = " and ".join(interface.addresses)
    if interface.bridge:
        return f"{interface.name} ({addresses}), on the bridge {interface.bridge} by {interface.vif}"
    network = topology.networks[interface.network].title
    if interface.uplink:
        return f"bridge {interface.name} ({addresses}), with the port {interface.uplink} to {network}"
    return f"{interface.name} ({addresses}) to {network}"


def draw(topology: Topology, style: str = "", view: str = "") -> str:
    """The picture as one ``<svg>`` element, with title and description for those who cannot see it.

    ``view`` is ``before`` or ``after``, for the paths without the rules or with them.
    """
    return _Picture(topology, view).svg(style)


class _Picture:
    """Lays the topology out from top to bottom, collecting the pieces of the SVG on the way."""

    def __init__(self, topology: Topology, view: str) -> None:
        self.topology, self.view = topology, view
        self.shapes: list[str] = []
        self.paths: list[str] = []
        #: The hosts that forward, upon the paths that go through them, and the ends of paths.
        self.over: list[str] = []
        self.texts: list[str] = []
        #: Where the wire of a host's interface leaves it, and where it meets the band.
        self.ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self.bands: dict[str, Box] = {}
        self.nodes = [host for host in topology.hosts.values() if host.role == "node"]
        self.levels, self.below = self._levels()
        self.lanes = len(topology.paths) * LANE if view else 0
        rows = self._rows()
        self.width = _span(max(len(self.nodes), *map(len, rows.values()))) + 2
        boxes: list[tuple[Host, Box]] = []
        y = 1.0
        if view:
            self._text(self.width / 2, y + LINE, TITLES[view], "name", "middle")
            y += LINE + WIRE / 2
        for level in sorted(rows, reverse=True):
            height = max((_host_height(host) for host in rows[level]), default=-WIRE)
            boxes += [(host, Box(x, y + height - _host_height(host), BOX, _host_height(host)))
                      for host, x in zip(rows[level], self._columns(len(rows[level])), strict=True)]
            y = self._draw_bands([name for name, at in self.levels.items() if at == level], y + height + WIRE)
            y += WIRE
        height = max(map(self._node_height, self.nodes))
        boxes += [(host, Box(x, y, BOX, height))
                  for host, x in zip(self.nodes, self._columns(len(self.nodes)), strict=True)]
        y += height
        if self.below:
            y = self._draw_bands(self.below, y + WIRE)
        self.height = y + 1
        for host, box in boxes:
            (self._draw_node if host.role == "node" else self._draw_host)(host, box)
        if view:
            self._draw_paths()
            self._draw_legend()

    def _levels(self) -> tuple[dict[str, int], list[str]]:
        """How many routers each network is away from the nodes' bridges, and the networks of nodes only."""
        levels = {interface.network: 0 for node in self.nodes for interface in node.interfaces.values()
                  if interface.uplink}
        routers = [host for host in self.topology.hosts.values() if host.role not in ("node", "guest")]
        for _ in routers:
            for host in routers:
                reached = [levels[i.network] for i in host.interfaces.values() if i.network in levels]
                for interface in host.interfaces.values():
                    if reached:
                        levels.setdefault(interface.network, min(reached) + 1)
        in_order = {name: levels[name] for name in self.topology.networks if name in levels}
        return in_order, [name for name in self.topology.networks if name not in levels]

    def _rows(self) -> dict[int, list[Host]]:
        """The hosts that stand above the networks of each level, those that connect upwards first."""
        rows: dict[int, list[Host]] = {level: [] for level in self.levels.values()}
        order = list(self.levels)
        for host in self.topology.hosts.values():
            if host.role not in ("node", "guest"):
                rows[min(self.levels[i.network] for i in host.interfaces.values())].append(host)
        for row in rows.values():
            row.sort(key=lambda host: (-len(host.interfaces),
                                       min(order.index(i.network) for i in host.interfaces.values())))
        return rows

    def _columns(self, count: int) -> list[float]:
        left = (self.width - _span(count)) / 2
        return [left + i * (BOX + GAP) for i in range(count)]

    def _draw_bands(self, names: list[str], y: float) -> float:
        """Draw networks side by side; returns where they end."""
        width = (self.width - 2 - GAP * (len(names) - 1)) / len(names)
        texts = [_band_lines(self.topology.networks[name], width) for name in names]
        height = max(map(len, texts)) * LINE + PAD + self.lanes
        for i, (name, (title, *prefixes)) in enumerate(zip(names, texts, strict=True)):
            self.bands[name] = band = Box(1 + i * (width + GAP), y, width, height)
            self._rectangle(band, "network", radius=min(height / 2, 18) if len(prefixes) == 1 else 14)
            top = y + self.lanes if name in self.below else y
            self._text(band.middle, top + LINE, title, "network-name", "middle")
            for j, prefix in enumerate(prefixes, 2):
                self._text(band.middle, top + j * LINE, prefix, "prefix", "middle")
        return y + height

    def _draw_host(self, host: Host, box: Box) -> None:
        self._rectangle(box, "host attacker" if host.role in ATTACKERS else "host", over=host.role in FORWARDING)
        y = self._heading(box, host)
        for interface in host.interfaces.values():
            y = self._addresses(box, y, interface)
        level = min(self.levels[i.network] for i in host.interfaces.values())
        for up in (True, False):
            wires = [i for i in host.interfaces.values() if (self.levels[i.network] > level) == up]
            wires.sort(key=lambda i: self.bands[i.network].x)
            for n, interface in enumerate(wires, 1):
                x = box.x + n * BOX / (len(wires) + 1)
                self._wire(x, box.y if up else box.bottom, host, interface)

    def _node_height(self, node: Host) -> float:
        height = LINE + PAD
        for interface in node.interfaces.values():
            inner = LINE * len(interface.addresses)
            if interface.uplink:
                inner += PAD + LINE + PAD
                guests = [_host_height(guest) for guest, _ in self._guests(node, interface.name)]
                inner += sum(WIRE + height for height in guests)
            height += inner
        return height + PAD

    def _guests(self, node: Host, bridge: str) -> list[tuple[Host, Interface]]:
        return [(host, interface) for host in self.topology.hosts.values() if host.node == node.name
                for interface in host.interfaces.values() if interface.bridge == bridge]

    def _draw_node(self, node: Host, box: Box) -> None:
        self._rectangle(box, "host node")
        self._heading(box, node)
        cards = [i for i in node.interfaces.values() if not i.uplink]
        y = box.bottom - PAD - LINE * sum(len(i.addresses) for i in cards)
        for n, interface in enumerate(cards, 1):
            y = self._addresses(box, y, interface)
            self._wire(box.x + n * BOX / (len(cards) + 1), box.bottom, node, interface)
        y = box.y + LINE + PAD
        for bridge in (i for i in node.interfaces.values() if i.uplink):
            inner = Box(box.x + PAD, y + PAD, BOX - 2 * PAD, LINE * (1 + len(bridge.addresses)) + PAD)
            self._line([(inner.middle, inner.y), (inner.middle, box.y)])
            self._wire(inner.middle, box.y, node, bridge)
            self.ends[node.name, bridge.name].insert(0, (inner.middle, inner.y))
            self._rectangle(inner, "bridge", radius=2)
            self._text(inner.x + PAD, inner.y + LINE, bridge.name, "name")
            self._text(inner.x + inner.width - PAD, inner.y + LINE, "bridge", "role", "end")
            at = inner.y + LINE
            for address in bridge.addresses:
                at += LINE
                self._text(inner.x + inner.width - PAD, at, address, "address", "end")
            y = inner.bottom
            for guest, interface in self._guests(node, bridge.name):
                frame = Box(inner.x, y + WIRE, inner.width, _host_height(guest))
                self._line([(frame.middle, y), (frame.middle, frame.y)])
                self.ends[guest.name, interface.name] = [(frame.middle, frame.y), (frame.middle, y)]
                self._text(frame.middle + self._beside(), frame.y - 8, interface.vif, "port")
                self._rectangle(frame, "host attacker")
                self._addresses(frame, self._heading(frame, guest), interface)
                y = frame.bottom

    def _heading(self, box: Box, host: Host) -> float:
        self._text(box.x + PAD, box.y + LINE + 1, host.name, "name")
        self._text(box.x + box.width - PAD, box.y + LINE + 1, role(host), "role", "end")
        return box.y + LINE + PAD / 2

    def _addresses(self, box: Box, y: float, interface: Interface) -> float:
        self._text(box.x + PAD, y + LINE, interface.name, "address")
        for address in interface.addresses:
            y += LINE
            self._text(box.x + box.width - PAD, y, address, "address", "end")
        return y

    def _wire(self, x: float, y: float, host: Host, interface: Interface) -> None:
        """A wire from the edge of a box to a network above or below it, the name of its port beside it."""
        band, port = self.bands[interface.network], interface.uplink or interface.name
        end = band.bottom if band.y < y else band.y
        inside = min(max(x, band.x + 14), band.x + band.width - 14)
        bend = end + (y - end) / 4  # clear of the port's name
        points = [(x, y), (x, end)] if inside == x else [(x, y), (x, bend), (inside, bend), (inside, end)]
        self._line(points)
        self.ends[host.name, interface.name] = points
        self._text(x + self._beside(), y - 5 if end < y else y + 12, port, "port")

    def _beside(self) -> float:
        """How far from a wire its name stands: beside all paths along it, and a cross."""
        return 4 + (self.lanes / 2 if self.view else 0)

    def _line(self, points: list[tuple[float, float]]) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.shapes.append(f'<polyline class="wire" points="{path}"/>')

    def _rectangle(self, box: Box, kind: str, radius: float = 5, over: bool = False) -> None:
        shapes = self.over if over else self.shapes
        shapes.append(f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" '
                      f'height="{box.height:g}" rx="{radius:g}"/>')

    def _text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        self.texts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def _draw_paths(self) -> None:
        for i, path in enumerate(self.topology.paths):
            kind = "wanted" if not path.stopped_by else "open" if self.view == "before" else "stopped"
            self._arrow(self._way(path, i, kind == "stopped"), kind)

    def _way(self, path: Path, lane: int, stopped: bool) -> list[tuple[float, float]]:
        """The corners of a path, a little beside the wires and clear of the names of networks, as far as it gets."""
        aside = (lane - (len(self.topology.paths) - 1) / 2) * LANE
        source, target = self.topology.hosts[path.source], self.topology.hosts[path.target]
        arrival = path.interface or next(iter(target.interfaces))
        if source.node == target.name:
            (x, start), (_, end) = self.ends[source.name, next(iter(source.interfaces))]
            return [(x + aside, start), (x + aside, (start + end) / 2 if stopped else end)]
        hops = self._hops(source, target.interfaces[arrival].network)
        points: list[tuple[float, float]] = []
        for leaving, (host, entering) in pairwise([(source, ""), *hops, (target, arrival)]):
            name, network = leaving[0].name, self.topology.hosts[host.name].interfaces[entering].network
            out = next(i.name for i in leaving[0].interfaces.values() if i.network == network)
            band = self.bands[network]
            y = band.y + (lane + 1) * LANE if network in self.below else band.bottom - (lane + 1) * LANE
            there, here = self.ends[name, out], self.ends[host.name, entering]
            points += [*there, (there[-1][0], y), (here[-1][0], y), *reversed(here)]
            if stopped and host.name == path.stopped_by:
                # At the edge of that host: a bridge within it, at which the wire ends, is farther in.
                edge = here[1] if host.interfaces[entering].uplink else here[0]
                points = points[:points.index(edge) + 1]
                break
        return [(x + aside, y) for x, y in points]

    def _hops(self, source: Host, network: str) -> list[tuple[Host, str]]:
        """The hosts that forward on the way to a network, each with the interface that it is entered by."""
        ways: list[tuple[Host, list[tuple[Host, str]]]] = [(source, [])]
        for host, hops in ways:
            networks = {interface.network for interface in host.interfaces.values()}
            if network in networks:
                return hops
            ways += [(other, [*hops, (other, interface.name)]) for other in self.topology.hosts.values()
                     if other.role in FORWARDING and other not in [host for host, _ in hops]
                     for interface in other.interfaces.values() if interface.network in networks]
        raise LookupError(f"{self.topology.name}: no way from {source.name} to {network}")

    def _arrow(self, points: list[tuple[float, float]], kind: str) -> None:
        """A line with a head at its end, or a cross where it is stopped."""
        (x0, y0), (x, y) = points[-2:]
        up = 1 if y0 > y else -1
        if kind == "stopped":
            cross = f"M{x - 5:g},{y - 5:g}l10,10m0,-10l-10,10"
            mark = f'<path class="cross" d="{cross}"/>'
        else:
            mark = f'<path class="head {kind}" d="M{x:g},{y:g}l-5,{9 * up:g}h10z"/>'
            points = [*points[:-1], (x, y + 7 * up)]
        line = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.paths.append(f'<polyline class="path {kind}" points="{line}"/>')
        self.over.append(mark)

    def _draw_legend(self) -> None:
        kinds = ["stopped" if self.view == "after" else "open", "wanted"]
        for kind in kinds:
            y = self.height + LINE
            end = f'<path class="cross" d="M41,{y - 5:g}l10,10m0,-10l-10,10"/>' if kind == "stopped" else (
                f'<path class="head {kind}" d="M51,{y:g}l-9,-5v10z"/>')
            self.paths += [f'<polyline class="path {kind}" points="6,{y:g} 43,{y:g}"/>', end]
            self._text(60, y + 4, LEGEND[kind], "legend")
            self.height += LINE + PAD
        self.height += 1

    def svg(self, style: str) -> str:
        name = "-".join(filter(None, ["topology", self.topology.name, self.view]))
        title = ": ".join([self.topology.title, *filter(None, [TITLES.get(self.view)])])
        said = in_words(self.topology)
        if self.view:
            said = [(term, sentence) for term, sentence in said if term == TITLES[self.view]]
        words = " ".join(f"{term}: {sentence}" for term, sentence in said)
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img" '
            f'aria-labelledby="{name}-title" aria-describedby="{name}-words">',
            f'<title id="{name}-title">{escape(title)}: networks and hosts</title>',
            f'<desc id="{name}-words">{escape(words)}</desc>',
            *([f"<style>{style}</style>"] if style else []),
            *self.shapes,
            *self.paths,
            *self.over,
            *self.texts,
            "</svg>",
        ])


def _span(count: int) -> float:
    """Width of so many boxes side by side."""
    return count * BOX + (count - 1) * GAP


def _host_height(host: Host) -> float:
    return LINE + PAD / 2 + LINE * sum(len(i.addresses) for i in host.interfaces.values()) + PAD


def _band_lines(network: Network, width: float) -> list[str]:
    """Title and prefixes; the prefixes in one line where they fit."""
    line = ", ".join(network.prefixes)
    fits = len(line) * LETTER <= width - 2 * PAD
    return [network.title, line] if fits else [network.title, *network.prefixes]
