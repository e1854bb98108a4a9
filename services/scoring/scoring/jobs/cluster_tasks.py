"""The tasks of a job that makes clusters: each reads the features of a bucket of customers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain.cluster_gates import FEATURES
from scoring.jobs.files import Folder
from scoring.jobs.scores import score_file
from scoring.models import clustering
from scoring.models.clustering import Clusters, RfmGroups, logarithms
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

Groups = Clusters | RfmGroups
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("cluster", pa.string()),
        # Where customers form no clusters of their own, there are no distances.
        ("distance", pa.float64()),
        ("second", pa.string()),
        ("second_distance", pa.float64()),
        ("reasons", pa.list_(pa.string())),
        # What it was told from.
        *((name, pa.float64()) for name in FEATURES),
    ]
)
TOLD = tuple(name for name in SCHEMA.names[1:] if name not in FEATURES)
"""The columns that are told from the features."""
_PURCHASES = "purchases_365d"
_ROWS = 1 << 14
"""Customers at a time."""


@dataclass(frozen=True)
class Buyers:
    """Customers of a bucket who bought within the year; `values` are their FEATURES, as declared."""

    names: pa.Array
    values: Floats
    purchases: Ints


@dataclass(frozen=True)
class Piece:
    """One bucket, to be told its clusters. features: address of the folder of features; file: its name there."""

    output: str
    features: str
    file: str
    number: int
    groups: Groups


@dataclass(frozen=True)
class Told:
    """What was written of a bucket. since_first, since_last: the most and the least days; None of nobody."""

    sizes: Counter[str]
    purchases: int
    since_first: float | None
    since_last: float | None

    @property
    def rows(self) -> int:
        """Customers in it."""
        return sum(self.sizes.values())


def buyers(folder: str, file: str) -> Buyers:
    """Who bought within the year, of a file of features."""
    with Folder(folder).open(file) as opened:
        table = pq.read_table(opened, columns=["customer", *FEATURES, _PURCHASES], use_threads=False).combine_chunks()
    purchases = np.nan_to_num(table.column(_PURCHASES).to_numpy()).astype(np.int64)
    there = purchases > 0
    values = np.stack([table.column(name).to_numpy() for name in FEATURES], axis=1)[there]
    return Buyers(table.column("customer").combine_chunks().filter(pa.array(there)), values, purchases[there])


def sample(folder: str, files: Sequence[str], most: int) -> tuple[Floats, int]:
    """Values of at most so many buyers, at even distances in the order of their names; and how many there are."""
    counts = [len(buyers(folder, file).values) for file in files]
    step = max(1, -(-sum(counts) // most))
    parts = [buyers(folder, file).values[::step] for file in files]
    return np.concatenate(parts), sum(counts)


def assign(piece: Piece) -> Told:
    """Writes the clusters of a bucket's buyers, ascending by name."""
    found = buyers(piece.features, piece.file)
    sizes: Counter[str] = Counter()

    def parts() -> Iterator[pa.Table]:
        for begin in range(0, len(found.values), _ROWS):
            values = found.values[begin : begin + _ROWS]
            told = columns(piece.groups, values)
            sizes.update(told["cluster"])
            own = dict(zip(FEATURES, values.T, strict=True))
            yield pa.Table.from_pydict({"customer": found.names.slice(begin, _ROWS), **told, **own}, SCHEMA)

    def fill(file: Any) -> None:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for part in parts():
                writer.write_table(part)

    Folder(piece.output).write(score_file(piece.number), fill)
    if not len(found.values):
        return Told(sizes, 0, None, None)
    last, first = found.values[:, 0], found.values[:, -1]
    return Told(sizes, int(found.purchases.sum()), float(first.max()), float(last.min()))


def columns(groups: Groups, values: Floats) -> dict[str, Any]:
    """What is told of customers with such FEATURES: all columns of SCHEMA but the name and these."""
    if isinstance(groups, RfmGroups):
        scored = groups.assign(values)
        nothing = [None] * len(values)
        return {
            "cluster": [groups.names[place] for place in scored.segment.tolist()],
            "distance": nothing,
            "second": nothing,
            "second_distance": nothing,
            "reasons": groups.reasons(values, scored),
        }
    scaled = logarithms(values)
    assignment = groups.assign(scaled)
    return {
        "cluster": [groups.names[place] for place in assignment.cluster.tolist()],
        "distance": assignment.distance,
        "second": [groups.names[place] for place in assignment.second.tolist()],
        "second_distance": assignment.second_distance,
        "reasons": groups.reasons(scaled, assignment),
    }


def again(row: Mapping[str, Any], judgement: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of SCHEMA tells, computed anew from its features by the groups that are kept in model.json."""
    stored = judgement.get("stand_in", judgement)["artefact"]
    groups = RfmGroups.from_json(stored["rfm"]) if "rfm" in stored else clustering.from_json(stored["clusters"])
    found = columns(groups, np.array([[row[name] for name in FEATURES]]))
    told = {name: found[name][0] for name in TOLD}
    return {name: float(value) if isinstance(value, np.floating) else value for name, value in told.items()} | {
        "reasons": list(told["reasons"])
    }
