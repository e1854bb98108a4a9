"""RFM as users of DuckDB and Polars write it, with all the threads there are."""

from pathlib import Path

_SEGMENT_SQL = """case
    when r >= 4 and fm >= 4 then 'Champions' when r = 3 and fm >= 4 then 'Loyal'
    when r >= 4 and fm >= 2 then 'Potential loyalists' when r = 5 then 'New' when r = 4 then 'Promising'
    when r = 3 and fm >= 2 then 'Need attention' when r = 3 then 'About to sleep'
    when r = 1 and fm = 5 then 'Cannot lose' when fm >= 3 then 'At risk' when r = 2 then 'Hibernating'
    else 'Lost' end"""


def with_duckdb(path: str, out: str) -> None:
    """As a user of DuckDB writes it."""
    import duckdb

    duckdb.sql(
        f"""copy (
          with seen as (
            select customer, max(event_time) as last, count(*) as n, sum(amount_minor) as spent
            from read_parquet('{_pattern(path)}') group by customer
          ), scored as (
            select customer, ntile(5) over (order by last) as r, ntile(5) over (order by n) as f,
              ntile(5) over (order by spent) as m from seen
          ), meant as (select *, (f + m + 1) // 2 as fm from scored)
          select customer, r, f, m, {_SEGMENT_SQL} as segment from meant
        ) to '{out}' (format parquet, compression zstd)"""
    )


def with_polars(path: str, out: str) -> None:
    """As a user of Polars writes it, on its streaming engine."""
    import polars as pl

    def fifth(name: str) -> pl.Expr:
        return ((pl.col(name).rank("ordinal") - 1) * 5 // pl.len() + 1).cast(pl.Int32)

    seen = (
        pl.scan_parquet(_pattern(path))
        .group_by("customer")
        .agg(pl.col("event_time").max().alias("last"), pl.len().alias("n"), pl.col("amount_minor").sum().alias("spent"))
        .collect(engine="streaming")
    )
    scored = seen.select("customer", fifth("last").alias("r"), fifth("n").alias("f"), fifth("spent").alias("m"))
    named = scored.with_columns(((pl.col("f") + pl.col("m") + 1) // 2).alias("fm")).with_columns(
        pl.sql_expr(_SEGMENT_SQL).alias("segment")
    )
    named.drop("fm").write_parquet(out, compression="zstd")


def _pattern(path: str) -> str:
    return f"{path}/*.parquet" if Path(path).is_dir() else path
