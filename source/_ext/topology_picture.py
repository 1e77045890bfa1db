# SPDX-License-Identifier: MIT
"""A scenario's topology as a picture (SVG) and in words, from the file that the lab builds its hosts from.

Networks are bands, one below the other: the farther a packet from there has to travel to the nodes, the
higher. A host stands above the nearest network that it is on, the nodes stand below theirs. A node is drawn
as it is built: its outside card is a port of the bridge, and the guest hangs on that bridge by its vif.

Only classes are drawn, no colours: in HTML the style sheet of the guide gives them (so that dark mode works),
in the PDF :data:`PRINT_STYLE` does.
"""
from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.lab.topology import Host, Interface, Network, Topology

ATTACKERS = ("outsider", "guest")
BOX, GAP, PAD, LINE, WIRE = 178, 16, 7, 13, 24
"""Width of a host's box, space between boxes, space within them, height of a line, length of a wire."""
LETTER = 6.1
"""Width of a letter of the addresses, which are set in a fixed width font of 10 units."""
PRINT_STYLE = """
text{font:11px 'DejaVu Sans',sans-serif;fill:#000}
.name,.network-name{font-weight:bold}.role,.port{font-size:9px;fill:#333}
.address{font:10px 'DejaVu Sans Mono',monospace}
.host,.bridge{fill:#fff;stroke:#333}.node{fill:#f2f2f2}
.attacker{stroke:#a00000;stroke-width:2;stroke-dasharray:5 3}
.network{fill:#dce6f2;stroke:#335}.wire{stroke:#333;stroke-width:1.5;fill:none}
"""


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
    return networks + hosts


def _end_in_words(topology: Topology, interface: Interface) -> str:
    addresses = " and ".join(interface.addresses)
    if interface.bridge:
        return f"{interface.name} ({addresses}), on the bridge {interface.bridge} by {interface.vif}"
    network = topology.networks[interface.network].title
    if interface.uplink:
        return f"bridge {interface.name} ({addresses}), with the port {interface.uplink} to {network}"
    return f"{interface.name} ({addresses}) to {network}"


def draw(topology: Topology, style: str = "") -> str:
    """The picture as one ``<svg>`` element, with title and description for those who cannot see it."""
    return _Picture(topology).svg(style)


class _Picture:
    """Lays the topology out from top to bottom, collecting the pieces of the SVG on the way."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.shapes: list[str] = []
        self.bands: dict[str, Box] = {}
        self.nodes = [host for host in topology.hosts.values() if host.role == "node"]
        self.levels, self.below = self._levels()
        rows = self._rows()
        self.width = _span(max(len(self.nodes), *map(len, rows.values()))) + 2
        boxes: list[tuple[Host, Box]] = []
        y = 1.0
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
        height = max(map(len, texts)) * LINE + PAD
        for i, (name, (title, *prefixes)) in enumerate(zip(names, texts, strict=True)):
            self.bands[name] = band = Box(1 + i * (width + GAP), y, width, height)
            self._rectangle(band, "network", radius=height / 2 if len(prefixes) == 1 else 14)
            self._text(band.middle, y + LINE, title, "network-name", "middle")
            for j, prefix in enumerate(prefixes, 2):
                self._text(band.middle, y + j * LINE, prefix, "address", "middle")
        return y + height

    def _draw_host(self, host: Host, box: Box) -> None:
        self._rectangle(box, "host attacker" if host.role in ATTACKERS else "host")
        y = self._heading(box, host)
        for interface in host.interfaces.values():
            y = self._addresses(box, y, interface)
        level = min(self.levels[i.network] for i in host.interfaces.values())
        for up in (True, False):
            wires = [i for i in host.interfaces.values() if (self.levels[i.network] > level) == up]
            wires.sort(key=lambda i: self.bands[i.network].x)
            for n, interface in enumerate(wires, 1):
                x = box.x + n * BOX / (len(wires) + 1)
                self._wire(x, box.y if up else box.bottom, self.bands[interface.network], interface.name)

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
            self._wire(box.x + n * BOX / (len(cards) + 1), box.bottom, self.bands[interface.network],
                       interface.name)
        y = box.y + LINE + PAD
        for bridge in (i for i in node.interfaces.values() if i.uplink):
            inner = Box(box.x + PAD, y + PAD, BOX - 2 * PAD, LINE * (1 + len(bridge.addresses)) + PAD)
            self._line([(inner.middle, inner.y), (inner.middle, box.y)])
            self._wire(inner.middle, box.y, self.bands[bridge.network], bridge.uplink)
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
                self._text(frame.middle + 4, frame.y - 8, interface.vif, "port")
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

    def _wire(self, x: float, y: float, band: Box, port: str) -> None:
        """A wire from the edge of a box to a network above or below it, the name of its port beside it."""
        end = band.bottom if band.y < y else band.y
        inside = min(max(x, band.x + 14), band.x + band.width - 14)
        bend = end + (y - end) / 4  # clear of the port's name
        self._line([(x, y), (x, end)] if inside == x else [(x, y), (x, bend), (inside, bend), (inside, end)])
        self._text(x + 4, y - 5 if end < y else y + 12, port, "port")

    def _line(self, points: list[tuple[float, float]]) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.shapes.append(f'<polyline class="wire" points="{path}"/>')

    def _rectangle(self, box: Box, kind: str, radius: float = 5) -> None:
        self.shapes.append(f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" '
                           f'height="{box.height:g}" rx="{radius:g}"/>')

    def _text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        self.shapes.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def svg(self, style: str) -> str:
        name = f"topology-{self.topology.name}"
        words = " ".join(f"{term}: {sentence}" for term, sentence in in_words(self.topology))
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img" '
            f'aria-labelledby="{name}-title" aria-describedby="{name}-words">',
            f'<title id="{name}-title">{escape(self.topology.title)}: networks and hosts</title>',
            f'<desc id="{name}-words">{escape(words)}</desc>',
            *([f"<style>{style}</style>"] if style else []),
            *self.shapes,
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
