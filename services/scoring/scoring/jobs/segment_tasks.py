"""The tasks of a recompute of segments: each judges the customers of one file, one after the other."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoring import people_files
from scoring.domain import person_forms
from scoring.domain.person import Person
from scoring.jobs.files import Folder, fingerprint, sha256
from scoring.jobs.tasks import UnusableInputError
from scoring.people_files import OtherFormError
from scoring.rulebook import Rulebook, rulebook

VERSION = "1"
"""Part of every fingerprint: raise it when the same customers would be judged otherwise."""
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        # Those it belongs into, of the ones that are judged.
        ("segments", pa.list_(pa.string())),
        # Whether it has to be looked at again: what is stored of it is something else.
        ("differs", pa.bool_()),
    ]
)
_FINGERPRINT, _DIFFERING = b"rapport.fingerprint", b"rapport.differing"


def memberships_file(number: int) -> str:
    """The file of what was found of the customers of a file."""
    return f"memberships-{number:05d}.parquet"


@dataclass(frozen=True)
class Piece:
    """One file of customers, in the folder `people`. segments: uid and expression of each. following: see the spec."""

    output: str
    people: str
    file: str
    number: int
    segments: tuple[tuple[str, str], ...]
    following: frozenset[str]


@dataclass(frozen=True)
class Judged:
    """What came of a file. sha256: of the file. rows: customers in it. differing: those to look at again."""

    sha256: str
    rows: int
    differing: int


@dataclass(frozen=True, eq=False)
class Judge:
    """Finds who belongs where, and whether what was stored says the same."""

    book: Rulebook
    following: Collection[str]

    @cached_property
    def _segments(self) -> tuple[str, ...]:
        return tuple(uid for uid in self.book.rules if uid not in self.following)

    def judge(self, row: Mapping[str, Any]) -> tuple[list[str], bool]:
        """The segments that the customer of a row of `scoring.people_files` belongs into, and whether it differs."""
        person: Person | None = None
        if row["person"] is not None:
            person = person_forms.read(row["person"], row["instant"])
            self.book.judge(person, self._segments)
        found = sorted(person.inside) if person else []
        if row["due"] is not None and row["due"] <= row["instant"]:
            # Who keeps the segments is about to look at it in full.
            return found, False
        moves = set(row["segments"]).difference(self.following) != set(found)
        # Looked at again no later than time may change something, it stays right.
        again = person.due if person else None
        late = again is not None and (row["due"] is None or row["due"] > again)
        return found, moves or late or row["stale"]


def judge(piece: Piece) -> Judged:
    """Writes the memberships of a file's customers, or finds them written already. Raises UnusableInputError."""
    source, output = Folder(piece.people), Folder(piece.output)
    with source.open(piece.file) as file:
        digest = sha256(file)
    key = fingerprint(VERSION, person_forms.FORM, digest, sorted(piece.segments), sorted(piece.following))
    told = _told(output, piece.number, key)
    if told is None:
        _write(source, output, piece, key)
        told = _told(output, piece.number, key)
        assert told is not None
    return Judged(digest, *told)


def _write(source: Folder, output: Folder, piece: Piece, key: str) -> None:
    judging = Judge(rulebook(frozenset(piece.segments)), piece.following)
    differing = 0

    def parts() -> Iterator[pa.Table]:
        nonlocal differing
        with source.open(piece.file) as file:
            for rows in people_files.chunks(file):
                found = [judging.judge(row) for row in rows]
                differing += sum(differs for _, differs in found)
                yield _table(rows, found)

    def fill(file: Any) -> None:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for part in parts():
                writer.write_table(part)
            writer.add_key_value_metadata({_FINGERPRINT.decode(): key, _DIFFERING.decode(): str(differing)})

    try:
        output.write(memberships_file(piece.number), fill)
    except (OtherFormError, pa.ArrowInvalid) as error:
        raise UnusableInputError(f"{piece.file} cannot be read: it was written by another version") from error


def _table(rows: Sequence[Mapping[str, Any]], found: Sequence[tuple[list[str], bool]]) -> pa.Table:
    columns = [[row["customer"] for row in rows], [uids for uids, _ in found], [differs for _, differs in found]]
    return pa.Table.from_arrays([pa.array(*pair) for pair in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)


def _told(output: Folder, number: int, key: str) -> tuple[int, int] | None:
    """Rows of a finished file, and how many of these differ; None when it is not there, or of other inputs."""
    try:
        with output.open(memberships_file(number)) as file:
            metadata = pq.read_metadata(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    noted = metadata.metadata or {}
    if noted.get(_FINGERPRINT) != key.encode():
        return None
    return metadata.num_rows, int(noted[_DIFFERING])
