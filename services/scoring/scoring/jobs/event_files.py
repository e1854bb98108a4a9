"""What programs share that read files of events (`jobs.spec.EventFile`) for when customers did things."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.jobs.files import opened, sha256
from scoring.jobs.spec import EventFile
from scoring.jobs.tasks import check_columns

SECOND_US = 1_000_000


def digest_of(*urls: str | None) -> list[str]:
    """Hashes of all files that are given, whatever their order."""
    found = []
    for url in urls:
        if url:
            with opened(url) as file:
                found.append(sha256(file))
    return sorted(found)


def row_groups(told: EventFile, columns: Mapping[str, pa.DataType], begin: int, end: int) -> dict[int, int]:
    """The row groups of a file that may hold events of these instants, and how many rows each has.

    columns: what will be read. begin, end: microseconds since 1970. Raises UnusableInputError without these columns.
    """
    with opened(told.url) as file:
        parquet = pq.ParquetFile(file)
        check_columns(told.url, parquet.schema_arrow, columns)
        found = map(parquet.metadata.row_group, range(parquet.num_row_groups))
        return {place: group.num_rows for place, group in enumerate(found) if _may_hold(group, begin, end)}


def _may_hold(row_group: pq.RowGroupMetaData, begin: int, end: int) -> bool:
    for place in range(row_group.num_columns):
        found = row_group.column(place)
        if found.path_in_schema == "event_time" and found.is_stats_set and found.statistics.has_min_max:
            return bool(found.statistics.min_raw < end and found.statistics.max_raw >= begin)
    return True


def distinct(parts: list[pa.Array]) -> pa.Array:
    """The names in these arrays, each once, ascending."""
    found = pc.unique(pa.chunked_array(parts, pa.string()))
    return found.take(pc.sort_indices(found))
