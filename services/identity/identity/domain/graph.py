"""Which customers are one person: the components of the graph of active merges, and who stands for each."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class Node(NamedTuple):
    """A customer in the merge graph. Orders by age, then uid: the smallest of a profile stands for it."""

    create_time: datetime
    uid: str


def canonical(members: Iterable[Node]) -> str:
    """Uid of the customer that stands for a profile: its oldest, ties broken by uid.

    It depends on the members alone, so any order of merging, and any undo, ends at the same customer.
    """
    return min(members).uid


def components(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[frozenset[str]]:
    """The connected components of `nodes` under `edges`; edges to customers not in `nodes` are left out."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    known = set(nodes)
    for one, other in edges:
        if one in known and other in known:
            neighbours[one].add(other)
            neighbours[other].add(one)
    found: list[frozenset[str]] = []
    unseen = set(known)
    while unseen:
        reached = {unseen.pop()}
        frontier = list(reached)
        while frontier:
            new = neighbours[frontier.pop()] - reached
            reached |= new
            frontier.extend(new)
        unseen -= reached
        found.append(frozenset(reached))
    return found


def pair(one: str, other: str) -> str:
    """Key of an unordered pair of customers."""
    return "+".join(sorted((one, other)))
