"""How a job's purchases and customers are laid out over its tasks."""

from collections.abc import Sequence

from scoring.jobs.tasks import InputFile

_GROUP_ROWS = 1_000_000

Pieces = tuple[tuple[str, int], ...]
"""Addresses of files, and which of their row groups."""


def bounds(files: Sequence[InputFile], partitions: int) -> tuple[str, ...]:
    """Where partitions begin, from customers seen at the start of each file: about equally large."""
    names = sorted({name for file in files for name in file.sample}, key=str.encode)
    if not names:
        return ("",) * (partitions - 1)
    return tuple(names[number * len(names) // partitions] for number in range(1, partitions))


def grouped(files: Sequence[InputFile]) -> list[Pieces]:
    """Row groups of the files, about a million purchases together, at least one group."""
    groups: list[list[tuple[str, int]]] = [[]]
    rows = 0
    for file in files:
        for number, size in enumerate(file.row_groups):
            if groups[-1] and rows + size > _GROUP_ROWS:
                groups.append([])
                rows = 0
            groups[-1].append((file.url, number))
            rows += size
    return [tuple(group) for group in groups]
