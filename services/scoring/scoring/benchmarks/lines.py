"""What a task prints: one figure a line."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured figure.

    data: the data set. reference: the figure it should reach or equal, from the paper or from the best known tool, in
    the same unit. peer, peer_value: another tool and what it reached on the same data in the same run.
    note: what a reader needs beside, such as an interval.
    """

    task: str
    data: str
    metric: str
    value: float | int
    reference: float | int | None = None
    peer: str | None = None
    peer_value: float | int | None = None
    note: str | None = None

    def json(self) -> str:
        """The line as printed; what is not known is left out. Floats keep 6 significant digits."""
        told = {key: value for key, value in asdict(self).items() if value is not None}
        return json.dumps({key: _short(value) for key, value in told.items()}, ensure_ascii=False)


def _short(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value
