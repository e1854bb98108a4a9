"""Parquet files of what memberships are decided by: written by role `run`, read by `scoring.jobs.segments`.

One customer a row. pyarrow is loaded on first use, as in `parquet`.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from scoring.domain.person_forms import FORM

Row = dict[str, Any]

ROWS = 100
"""Customers that are read at a time."""
_FORM = b"rapport.form"


class OtherFormError(Exception):
    """A file of another version."""


def _schema() -> Any:
    """customer: resource name. members: of the others whose data are in the row.

    instant: when it was read (milliseconds since 1970, as `due`), which it is to be judged as of. segments: uids of
    those it was in. due: when time alone could change something, as far as was known. stale: something else that is
    kept with the memberships was not right. person: `domain.person_forms.written`; null of who may be in no segment.
    """
    import pyarrow as pa

    texts = pa.list_(pa.string())
    columns = {
        "customer": pa.string(),
        "members": texts,
        "instant": pa.int64(),
        "segments": texts,
        "due": pa.int64(),
        "stale": pa.bool_(),
        "person": pa.binary(),
    }
    return pa.schema(columns.items(), metadata={_FORM: str(FORM)})


class Writer:
    """One file in the making, in memory. rows: so far. chunk_bytes: of the persons of the largest chunk."""

    def __init__(self) -> None:
        import pyarrow.parquet as pq

        self.rows = self.chunk_bytes = 0
        self._out = io.BytesIO()
        self._schema = _schema()
        # Else a page, which is read as a whole, may hold a thousand customers.
        self._writer = pq.ParquetWriter(self._out, self._schema, compression="zstd", write_batch_size=ROWS)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._out.tell()

    def add(self, rows: Sequence[Row]) -> None:
        """Adds a chunk of customers, who are read together again."""
        import pyarrow as pa

        if rows:
            self._writer.write_table(pa.Table.from_pylist(list(rows), self._schema))
            self.rows += len(rows)
            self.chunk_bytes = max(self.chunk_bytes, sum(len(row["person"] or b"") for row in rows))

    def content(self) -> bytes:
        """The whole file; it takes no more rows."""
        self._writer.close()
        return self._out.getvalue()


def chunks(file: BinaryIO) -> Iterator[list[Row]]:
    """The customers of a file, `ROWS` at a time. Raises OtherFormError."""
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    if (opened.schema_arrow.metadata or {}).get(_FORM) != str(FORM).encode():
        raise OtherFormError
    for batch in opened.iter_batches(ROWS, use_threads=False):
        yield batch.to_pylist()
