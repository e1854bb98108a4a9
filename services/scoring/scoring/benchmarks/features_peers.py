"""The declared features of purchases as users of DuckDB and Polars write them, with all the threads there are.

Easier than what the product does: all events are purchases in one currency, so neither kinds, refunds, messages,
repeats nor rates are looked at.
"""

from pathlib import Path
from typing import Any

from scoring.benchmarks.purchases import AS_OF

_DAY_US = 86_400_000_000
_AT = int(AS_OF.timestamp()) * 1_000_000
_WINDOWS = (30, 90, 180, 365)


def with_duckdb(folder: str, out: str) -> None:
    """By customer and day first, which gives the distinct days; then by customer."""
    import duckdb

    by_day = ", ".join(
        f"count(*) filter (age <= {days * _DAY_US}) as n{days}, "
        f"coalesce(sum(amount_minor) filter (age <= {days * _DAY_US}), 0) as spent{days}"
        for days in _WINDOWS
    )
    summed = ", ".join(
        f"sum(n{days})::double as purchases_{days}d, sum(spent{days})::double as revenue_{days}d" for days in _WINDOWS
    )
    duckdb.sql(
        f"""copy (
          with bought as (
            select customer, amount_minor, epoch_us(event_time) // {_DAY_US} as day, {_AT} - epoch_us(event_time) as age
            from read_parquet('{_pattern(folder)}')
            where epoch_us(event_time) < {_AT} and epoch_us(event_time) >= {_AT - 365 * _DAY_US}
          ), by_day as (
            select customer, day, min(age) as youngest, max(age) as oldest,
              count(*) filter (amount_minor > 0) as worth, {by_day}
            from bought group by customer, day
          ), by_customer as (
            select customer, {summed}, sum(worth) as worth, min(youngest) as youngest, max(oldest) as oldest,
              count(*) as days, min(day) as first_day, max(day, 2) as last_days,
              count(*) filter (n30 > 0) as days30, count(*) filter (n90 > 0) as days90
            from by_day group by customer
          ), gaps as (
            select *, case when days > 1 then (last_days[1] - first_day) / (days - 1) end as gap from by_customer
          )
          select customer, purchases_30d, purchases_90d, purchases_180d, purchases_365d,
            revenue_30d, revenue_90d, revenue_180d, revenue_365d,
            revenue_365d / nullif(worth, 0) as mean_order_value_365d,
            0::double as refunds_365d, case when revenue_365d > 0 then 0::double end as refunded_share_365d,
            youngest / {_DAY_US} as days_since_last_purchase, oldest / {_DAY_US} as days_since_first_purchase,
            days::double as purchase_days_365d, gap as mean_purchase_gap,
            (last_days[1] - last_days[2])::double as last_purchase_gap,
            youngest / {_DAY_US} / gap as purchase_lateness,
            (purchases_90d / 90) / nullif((purchases_365d - purchases_90d) / 275, 0) as purchase_rate_ratio,
            days30::double as active_days_30d, days90::double as active_days_90d,
            purchases_30d as events_30d, purchases_90d as events_90d,
            youngest / {_DAY_US} as days_since_last_event,
            (purchases_30d / 30) / nullif((purchases_90d - purchases_30d) / 60, 0) as activity_rate_ratio,
            0::double as messages_sent_90d, 0::double as message_clicks_90d,
            null::double as clicks_per_message_90d, null::double as days_since_last_click
          from gaps
        ) to '{out}' (format parquet, compression zstd)"""
    )


def with_polars(folder: str, out: str) -> None:
    """The same on Polars' streaming engine."""
    import polars as pl

    time, amount, age = pl.col("event_time").cast(pl.Int64), pl.col("amount_minor"), pl.col("age")
    by_day = (
        pl.scan_parquet(_pattern(folder))
        .filter((time < _AT) & (time >= _AT - 365 * _DAY_US))
        .select("customer", "amount_minor", (time // _DAY_US).alias("day"), (_AT - time).alias("age"))
        .group_by("customer", "day")
        .agg(
            age.min().alias("youngest"),
            age.max().alias("oldest"),
            (amount > 0).sum().alias("worth"),
            *((age <= days * _DAY_US).sum().alias(f"n{days}") for days in _WINDOWS),
            *((amount * (age <= days * _DAY_US)).sum().alias(f"revenue_{days}d") for days in _WINDOWS),
        )
    )
    day = pl.col("day")
    of = by_day.group_by("customer").agg(
        *(pl.col(f"n{days}").sum().cast(pl.Float64).alias(f"purchases_{days}d") for days in _WINDOWS),
        *(pl.col(f"revenue_{days}d").sum().cast(pl.Float64) for days in _WINDOWS),
        pl.col("worth").sum(),
        pl.col("youngest").min(),
        pl.col("oldest").max(),
        pl.len().cast(pl.Float64).alias("purchase_days_365d"),
        day.min().alias("first_day"),
        day.max().alias("last_day"),
        day.top_k(2).min().alias("day_before"),
        *((pl.col(f"n{days}") > 0).sum().cast(pl.Float64).alias(f"active_days_{days}d") for days in (30, 90)),
    )
    several = pl.col("purchase_days_365d") > 1
    gap = pl.when(several).then((pl.col("last_day") - pl.col("first_day")) / (pl.col("purchase_days_365d") - 1))
    bought = pl.col("purchases_30d"), pl.col("purchases_90d"), pl.col("purchases_365d")
    since = pl.col("youngest") / _DAY_US
    whole = of.select(
        "customer",
        *(f"purchases_{days}d" for days in _WINDOWS),
        *(f"revenue_{days}d" for days in _WINDOWS),
        (pl.col("revenue_365d") / _over_zero(pl.col("worth"))).alias("mean_order_value_365d"),
        pl.lit(0.0).alias("refunds_365d"),
        pl.when(pl.col("revenue_365d") > 0).then(0.0).alias("refunded_share_365d"),
        since.alias("days_since_last_purchase"),
        (pl.col("oldest") / _DAY_US).alias("days_since_first_purchase"),
        "purchase_days_365d",
        gap.alias("mean_purchase_gap"),
        pl.when(several).then((pl.col("last_day") - pl.col("day_before")).cast(pl.Float64)).alias("last_purchase_gap"),
        (since / gap).alias("purchase_lateness"),
        ((bought[1] / 90) / _over_zero((bought[2] - bought[1]) / 275)).alias("purchase_rate_ratio"),
        "active_days_30d",
        "active_days_90d",
        bought[0].alias("events_30d"),
        bought[1].alias("events_90d"),
        since.alias("days_since_last_event"),
        ((bought[0] / 30) / _over_zero((bought[1] - bought[0]) / 60)).alias("activity_rate_ratio"),
        *(pl.lit(0.0).alias(name) for name in ("messages_sent_90d", "message_clicks_90d")),
        *(pl.lit(None, pl.Float64).alias(name) for name in ("clicks_per_message_90d", "days_since_last_click")),
    )
    whole.collect(engine="streaming").write_parquet(out, compression="zstd")


def _over_zero(values: Any) -> Any:
    import polars as pl

    return pl.when(values > 0).then(values)


def _pattern(folder: str) -> str:
    return str(Path(folder) / "*.parquet")
