"""Who is who, and who may not be scored: aliases resolved to the end, exclusions spread over merged customers."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.jobs.columns import texts
from scoring.jobs.files import Folder, opened, sha256
from scoring.jobs.tasks import WORK, UnusableInputError, write_columns

_LONGEST_CHAIN = 64


def resolve(output: Folder, aliases: str | None, exclude: str | None) -> tuple[str, bool, bool]:
    """Writes what `divide` asks for; returns a hash of the files, and whether there are aliases and exclusions.

    Nobody is scored of whom any merged part may not be. Raises UnusableInputError.
    """
    hashes = []
    tables = []
    for url, columns in ((aliases, ("customer", "canonical")), (exclude, ("customer",))):
        nobody = pa.table({name: texts([]) for name in columns})
        digest, table = _read(url, columns) if url else ("", nobody)
        hashes.append(digest)
        tables.append(table)
    customer, canonical = _ends(tables[0], aliases or "")
    excluded = pc.unique(tables[1].column("customer").combine_chunks())
    places = pc.index_in(excluded, customer)
    excluded = pc.unique(pc.coalesce(canonical.take(places), excluded))
    write_columns(output, f"{WORK}/aliases.arrow", {"customer": customer, "canonical": canonical})
    write_columns(output, f"{WORK}/excluded.arrow", {"customer": excluded})
    return "-".join(hashes), len(customer) > 0, len(excluded) > 0


def _read(url: str, columns: tuple[str, ...]) -> tuple[str, pa.Table]:
    try:
        with opened(url) as file:
            digest = sha256(file)
            file.seek(0)
            table = pq.read_table(file, columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise UnusableInputError(f"{url} cannot be read: {type(error).__name__}") from error
    if missing := [name for name in columns if name not in table.column_names]:
        raise UnusableInputError(f"{url} has no column {', '.join(missing)}")
    return digest, table.cast(pa.schema([(name, pa.string()) for name in columns])).drop_null()


def _ends(table: pa.Table, url: str) -> tuple[pa.Array, pa.Array]:
    """Each customer with the end of its chain of aliases."""
    customer, canonical = (table.column(name).combine_chunks() for name in ("customer", "canonical"))
    if len(pc.unique(customer)) != len(customer):
        raise UnusableInputError(f"{url} names a customer more than once")
    for _ in range(_LONGEST_CHAIN):
        # Without a further alias, or with themselves for one, chains are at their end.
        followed = pc.coalesce(canonical.take(pc.index_in(canonical, customer)), canonical)
        if followed.equals(canonical):
            return customer, canonical
        canonical = followed
    raise UnusableInputError(f"{url}: aliases go round in a circle, or in chains of more than {_LONGEST_CHAIN}")
