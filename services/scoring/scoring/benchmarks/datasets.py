"""Where the public data sets lie. They are not part of the project: a task whose data are missing says which file."""

from pathlib import Path


class MissingData(Exception):  # noqa: N818
    """A data set is not in the folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"not found: {path}")
        self.path = path


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
