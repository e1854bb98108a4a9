"""Where the public data sets lie. They are not part of the project: a task whose data are missing says which file."""

from collections.abc import Callable, Iterator
from pathlib import Path

from scoring.benchmarks.lines import Line


class MissingData(Exception):  # noqa: N818
    """Files of a data set are not in the folder."""

    def __init__(self, *paths: Path) -> None:
        super().__init__(f"not found: {', '.join(map(str, paths))}")
        self.paths = paths


class DataFolder:
    """A folder with one subfolder for each data set."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, *parts: str) -> Path:
        """The file; raises MissingData when it is not there."""
        path = self.root.joinpath(*parts)
        if not path.is_file():
            raise MissingData(path)
        return path


def from_each(data: DataFolder, *parts: Callable[[DataFolder], Iterator[Line]]) -> Iterator[Line]:
    """The lines of every part whose data are there; then raises MissingData for those whose are not."""
    missing: list[Path] = []
    for part in parts:
        try:
            yield from part(data)
        except MissingData as error:
            missing += error.paths
    if missing:
        raise MissingData(*missing)
