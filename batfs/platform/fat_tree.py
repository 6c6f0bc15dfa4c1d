"""Fat trees: d-mod-k routing, up by the destination's position, down by the source's."""

from __future__ import annotations

from math import prod

from batfs.errors import InputError
from batfs.platform.model import Network
from batfs.platform.topologies import ClusterSpec, ComputedZone, whole
from batfs.platform.zones import Zone


class _TreeNode:
    __slots__ = ("children", "label", "level", "limiter", "number", "parents", "position")

    def __init__(self, number: int, level: int, position: int, label: list[int], limiter: int) -> None:
        self.number = number
        self.level = level
        self.position = position
        self.label = label
        self.limiter = limiter
        self.parents: list[tuple[_TreeNode, int]] = []
        self.children: list[tuple[_TreeNode, int]] = []


class FatTreeZone(ComputedZone):
    """``levels; children per level; parents per level; parallel cables per level``: d-mod-k routing."""

    keyword = "FatTree"

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec, parent, network)
        parts = spec.parameters.split(";")
        if len(parts) != 4:
            raise InputError(
                "topo_parameters of a FAT_TREE: levels;children,…;parents,…;cables,… "
                f"(such as '2;4,4;1,2;1,2'), found {spec.parameters!r}"
            )
        self.levels = whole(parts[0], "the number of levels")
        vectors = []
        for text, what in zip(parts[1:], ("children", "parents", "cables"), strict=True):
            vector = [whole(entry, f"the number of {what}") for entry in text.split(",")]
            if len(vector) != self.levels:
                raise InputError(
                    f"topo_parameters: {self.levels} levels, but {len(vector)} numbers of {what}"
                )
            vectors.append(vector)
        self.below, self.above, self.cables = vectors
        self._nodes: list[_TreeNode] = []
        self.check()
        if self.size() != len(spec.radicals):
            # SimGrid makes the tree's hosts and leaves the rest of the radical out
            spec.radicals = spec.radicals[: self.size()]

    def size(self) -> int:
        return prod(self.below)

    def _radices(self, level: int) -> list[int]:
        return [self.below[j] if j >= level else self.above[j] for j in range(self.levels)]

    def _label(self, level: int, position: int) -> list[int]:
        label = []
        for radix in self._radices(level):
            label.append(position % radix)
            position //= radix
        return label

    def add_node(self, rank: int) -> None:
        super().add_node(rank)
        limiter = self.limiters[rank] if self.limiters else -1
        position = self.spec.counters.fat_tree_position
        self.spec.counters.fat_tree_position += 1
        self._nodes.append(_TreeNode(rank, 0, position, self._label(0, rank), limiter))

    def finish(self) -> None:
        levels = [list(self._nodes)]
        number = 2 * len(self._nodes)
        for level in range(1, self.levels + 1):
            row = []
            for position in range(prod(self._radices(level))):
                number -= 1
                limiter = self.limiter(number) if self.limiters else -1
                row.append(_TreeNode(number, level, position, self._label(level, position), limiter))
            levels.append(row)
        counters = self.spec.counters
        for level in range(self.levels):
            children, parents, cables = self.below[level], self.above[level], self.cables[level]
            for node in levels[level]:
                node.parents = [(node, -1)] * (parents * cables)
            for node in levels[level + 1]:
                node.children = [(node, -1)] * (children * cables)
            radices = self._radices(level + 1)
            stride = prod(radices[:level])
            for node in levels[level]:
                base = sum(node.label[j] * prod(radices[:j]) for j in range(self.levels) if j != level)
                for k in range(parents):
                    above = levels[level + 1][base + k * stride]
                    for j in range(cables):
                        name = f"link_from_{node.number}_{above.number}_{counters.fat_tree_link}"
                        up, down = self.pair(name)
                        counters.fat_tree_link += 1
                        above.children[node.label[level] + j * children] = (node, down)
                        node.parents[above.label[level] + j * parents] = (above, up)

    def _over(self, root: _TreeNode, node: _TreeNode) -> bool:
        return root.level > node.level and root.label[root.level :] == node.label[root.level :]

    def hops(self, src: int, dst: int) -> list[int]:
        found: list[int] = []
        source, target = self._nodes[src], self._nodes[dst]
        node = source
        while not self._over(node, target):
            choices = self.above[node.level] * self.cables[node.level]
            pick = target.position // prod(self.above[: node.level]) % choices
            if node.limiter >= 0:
                found.append(node.limiter)
            node, link = node.parents[pick]
            found.append(link)
        while node is not target:
            i = source.position % self.cables[node.level - 1] * self.below[node.level - 1]
            # SimGrid goes on counting in the child's ports from where it left the parent's
            while True:
                # the next that leads there
                i += (target.label[node.level - 1] - i) % self.below[node.level - 1]
                if i >= len(node.children):
                    break
                below, link = node.children[i]
                found.append(link)
                if node.limiter >= 0:
                    found.append(node.limiter)
                node = below
                i += 1
        if node.limiter >= 0:
            found.append(node.limiter)
        return found
