"""What a job makes of purchases; in this process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from e2e.demo import orders
from localrun import state
from scoring.jobs import dividing, program, score
from scoring.jobs.files import Folder
from scoring.jobs.launch import launch
from scoring.jobs.memory import TooLargeError, check, check_fit, widest
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import JobSpec
from scoring.jobs.tasks import UnusableInputError
from scoring.models import rfm
from testkit import eventually

from .conftest import AS_OF, Shop, ShopOf, model_of, progress_of, row, scores_of, with_rows


def of(scores: pa.Table, customer: str) -> dict[str, object]:
    found = scores.filter(pc.equal(scores["customer"], customer)).to_pylist()
    assert len(found) == 1
    return dict(found[0])


def test_equal_scores_however_files_and_partitions_divide(shop: Shop):
    first = shop.run(shop.spec("a", partitions=1, inputs=shop.files("one", 1)))
    assert first.num_rows == 1_500
    assert first["customer"].to_pylist() == sorted(first["customer"].to_pylist())
    for partitions, files, seed in ((2, 5, 1), (7, 2, 2)):
        spec = shop.spec(f"b{partitions}", partitions=partitions, inputs=shop.files(f"f{files}", files, seed=seed))
        assert shop.run(spec).equals(first)
        assert len(list((shop.folder / f"b{partitions}").glob("scores-*.parquet"))) == partitions


def test_scores_say_what_they_should(shop: Shop):
    spec = shop.spec("out")
    scores = shop.run(spec)
    model = model_of(spec)
    assert model["fallback"] is False
    assert model["message"] == ""
    assert model["parameters"]["purchases"]["model"] == "bg_nbd"
    assert model["parameters"]["spend"]["model"] == "gamma_gamma"
    assert model["customers"] == 1_500
    assert model["purchases"] == shop.table.num_rows
    assert model["metrics"]["holdout"]["rmse"] < model["metrics"]["holdout"]["baseline_rmse"]
    assert pc.sum(scores["revenue_minor"]).as_py() == pc.sum(shop.table["amount_minor"]).as_py()
    assert pc.sum(scores["purchases"]).as_py() == shop.table.num_rows
    for name in scores.column_names:
        assert scores[name].null_count == 0, name
    assert set(scores["rfm_segment"].to_pylist()) <= set(rfm.SEGMENT_NAMES)
    assert all(1 <= len(reasons) <= 3 for reasons in scores["reasons"].to_pylist())
    assert progress_of(spec).state is State.SUCCEEDED
    assert progress_of(spec).rows == 1_500
    assert not (shop.folder / "out" / "work").exists()
    assert (shop.folder / "out" / "_SUCCESS").exists()


def test_golden_figures_through_the_whole_job(shop_of: ShopOf):
    found = orders.read(orders.cdnow_file(state.directory() / "downloads")).orders
    table = pa.Table.from_pylist(
        [
            row(
                f"customers/{order.customer}", datetime.combine(order.day, datetime.min.time(), UTC), order.amount_minor
            )
            for order in found
        ],
        pa.schema(
            [
                ("customer", pa.string()),
                ("order_id", pa.string()),
                ("event_time", pa.timestamp("us", tz="UTC")),
                ("amount_minor", pa.int64()),
                ("currency", pa.string()),
            ]
        ),
    )
    shop = shop_of(table)
    spec = shop.spec("cdnow", as_of=datetime(1997, 9, 30, tzinfo=UTC), horizon_weeks=39, partitions=5)
    scores = shop.run(spec)
    model = model_of(spec)
    assert model["customers"] == 2_357
    fitted = model["parameters"]["purchases"]
    assert [round(fitted[name], 4) for name in ("r", "alpha", "a", "b")] == [0.2426, 4.4136, 0.7929, 2.4259]
    spend = model["parameters"]["spend"]
    assert [round(spend["p"], 4), round(spend["q"], 4), round(spend["gamma"] / 100, 4)] == [6.2496, 3.7442, 15.4435]
    assert model["left_out"]["later"] == sum(order.day > datetime(1997, 9, 30).date() for order in found)  # noqa: DTZ001
    # The holdout's 1,882 transactions are told 12.1 percent too low.
    assert pc.sum(scores["expected_purchases"]).as_py() == pytest.approx(1_882 * (1 - 0.121), rel=1e-3)
    assert model["window_start"] == "1997-01-01T00:00:00+00:00"


def test_purchases_of_one_day_are_one_transaction(shop: Shop):
    noon = AS_OF - timedelta(days=70)
    table = with_rows(
        shop.table,
        [
            row("customers/x", noon, 1_000),
            row("customers/x", noon + timedelta(hours=1), 3_000),
            row("customers/x", noon + timedelta(days=35), 5_000),
        ],
    )
    found = of(shop.run(shop.spec("out", inputs=shop.files("day", 2, table))), "customers/x")
    assert found["purchases"] == 3
    assert found["frequency"] == 1
    assert found["recency_weeks"] == 5.0
    assert found["age_weeks"] == 10.0
    assert found["monetary_minor"] == 5_000
    assert found["revenue_minor"] == 9_000


def test_what_does_not_count_is_left_out_and_counted(shop: Shop):
    table = with_rows(
        shop.table,
        [
            row("customers/x", AS_OF, 1_000),
            row("customers/x", AS_OF + timedelta(microseconds=1), 7),
            row("customers/x", AS_OF, 9, "USD"),
            row("customers/x", AS_OF, -5),
            {**row("customers/x", AS_OF), "amount_minor": None},
        ],
    )
    spec = shop.spec("out", inputs=shop.files("left", 2, table))
    found = of(shop.run(spec), "customers/x")
    assert (found["purchases"], found["revenue_minor"], found["age_weeks"]) == (1, 1_000, 0.0)
    model = model_of(spec)
    assert model["left_out"] == {"unusable": 1, "later": 1, "no_rate": 1, "refund": 1, "excluded": 0}
    assert (model["purchases"], model["converted"]) == (shop.table.num_rows + 1, 0)
    assert "1 purchases without a rate to EUR are left out" in model["message"]


def test_other_currencies_count_by_the_rate_of_their_day_at_most_a_week_old(shop: Shop, monkeypatch):
    monkeypatch.setattr(dividing, "ROUND_ROWS", 500)
    dated = shop.folder / "rates.csv"
    dated.write_text(f"Date,USD\n{AS_OF:%Y-%m-%d},1.25\n{AS_OF - timedelta(days=60):%Y-%m-%d},2\n")
    ago = [AS_OF - timedelta(days=days) for days in (0, 53, 52)]
    abroad = [row("customers/x", ago[0], 1_001, "USD"), row("customers/x", ago[1], 1_003, "USD")]
    abroad += [row("customers/x", ago[0], -500, "USD"), row("customers/y", ago[1], 400, "USD")]
    left = [row("customers/x", ago[2], 1_000, "USD"), row("customers/x", ago[0], 77, "CHF")]
    others = shop.table.slice(0, 900)
    table = with_rows(others, [*abroad, *left])
    # Whoever merged with somebody that may not be scored is not counted among the converted.
    merged = {
        "aliases": shop.names("aliases", customer=["customers/y"], canonical=["customers/z"]),
        "exclude": shop.names("exclude", customer=["customers/y"]),
    }
    spec = shop.spec("out", inputs=shop.files("abroad", 2, table), rates=str(dated), **merged)
    scores = shop.run(spec)
    found = of(scores, "customers/x")
    assert (found["purchases"], found["revenue_minor"]) == (2, 801 + 502), "800.8 and 501.5, half to even"
    model = model_of(spec)
    assert (model["converted"], model["purchases"]) == (2, len(others) + 2)
    assert model["left_out"] == {"unusable": 0, "later": 0, "no_rate": 2, "refund": 1, "excluded": 1}
    assert (
        "2 purchases in other currencies count in EUR by the rate of their day; 2 purchases without"
        in (model["message"])
    )
    # The same as if they had been made in the main currency.
    home = [row("customers/x", ago[0], 801), row("customers/x", ago[1], 502)]
    plain = shop.spec("plain", inputs=shop.files("plain", 3, with_rows(others, home)))
    assert shop.run(plain).equals(scores)
    assert progress_of(spec).message == model["message"]
    dated.write_text(dated.read_text().replace("1.25", "1"))
    assert of(shop.run(spec), "customers/x")["revenue_minor"] == 1_001 + 502, "another table is another job"


def test_who_objects_is_neither_in_training_nor_in_scores(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dividing, "ROUND_ROWS", 500)
    out = [f"customers/{number:06d}" for number in range(0, 1_500, 3)]
    spec = shop.spec("out", exclude=shop.names("exclude", customer=out))
    scores = shop.run(spec)
    assert not set(scores["customer"].to_pylist()) & set(out)
    kept = shop.table.filter(pc.invert(pc.is_in(shop.table["customer"], pa.array(out))))
    alone = shop.spec("alone", inputs=shop.files("alone", 2, kept))
    assert shop.run(alone).equals(scores)
    assert model_of(alone)["parameters"] == model_of(spec)["parameters"]
    assert model_of(spec)["left_out"]["excluded"] == shop.table.num_rows - kept.num_rows


def test_merged_customers_are_one_and_stay_out_if_one_of_them_objects(shop: Shop):
    one, two, three, four = (f"customers/{number:06d}" for number in (10, 700, 1_400, 20))
    aliases = shop.names("aliases", customer=[one, two], canonical=[two, three])
    scores = shop.run(shop.spec("out", aliases=aliases))
    assert scores.num_rows == 1_498
    renamed = pc.if_else(pc.is_in(shop.table["customer"], pa.array([one, two])), three, shop.table["customer"])
    plain = shop.run(shop.spec("plain", inputs=shop.files("plain", 2, shop.table.set_column(0, "customer", renamed))))
    assert plain.equals(scores)
    without = shop.run(shop.spec("without", aliases=aliases, exclude=shop.names("exclude", customer=[one, four])))
    gone = set(scores["customer"].to_pylist()) - set(without["customer"].to_pylist())
    assert gone == {three, four}


def test_aliases_in_a_circle_are_refused(shop: Shop):
    aliases = shop.names("aliases", customer=["a", "b", "c"], canonical=["b", "c", "a"])
    with pytest.raises(UnusableInputError, match="circle"):
        shop.run(shop.spec("out", aliases=aliases))


@pytest.mark.parametrize("rows", [0, 1, 20])
def test_too_little_data_is_told_and_scored_all_the_same(shop: Shop, rows: int):
    spec = shop.spec("out", inputs=shop.files("few", 1, shop.table.slice(0, rows)))
    scores = shop.run(spec)
    model = model_of(spec)
    assert model["fallback"] is True
    assert model["parameters"]["purchases"]["model"] == "baseline"
    assert model["message"]
    assert model["customers"] == scores.num_rows
    for name in ("p_alive", "p_alive_low", "p_alive_high", "expected_purchases", "expected_purchases_high"):
        values = scores[name].to_numpy()
        assert np.isfinite(values).all()
        assert (values > 0).all()


def test_no_files_at_all(shop: Shop):
    spec = shop.spec("out", inputs=())
    assert shop.run(spec).num_rows == 0
    assert "no purchases" in model_of(spec)["message"]


def test_an_unusable_file_is_named_with_what_is_wrong(shop: Shop):
    (url,) = shop.files("bad", 1, shop.table.drop_columns(["amount_minor"]))
    with pytest.raises(UnusableInputError, match=r"bad-0\.parquet has no column amount_minor"):
        shop.run(shop.spec("out", inputs=(url,)))
    (url,) = shop.files("text", 1, shop.table.set_column(3, "amount_minor", pc.cast(shop.table[3], pa.string())))
    with pytest.raises(UnusableInputError, match="amount_minor is string, not int64"):
        shop.run(shop.spec("out", inputs=(url,)))
    with pytest.raises(UnusableInputError, match="FileNotFoundError"):
        shop.run(shop.spec("out", inputs=(f"{url}-gone",)))


def test_too_large_a_job_is_refused_with_the_partitions_it_needs(shop: Shop):
    spec = shop.spec("out", partitions=1, memory_mb=400)
    with pytest.raises(TooLargeError, match=r"Set partitions to \d+ or more") as refused:
        check(spec, 5_000_000, 1)
    needed = int(str(refused.value).split("Set partitions to ")[1].split()[0])
    check(spec.model_copy(update={"partitions": needed}), 5_000_000, 1)
    with pytest.raises(TooLargeError):
        check(spec.model_copy(update={"partitions": needed - 1}), 5_000_000, 1)
    with pytest.raises(TooLargeError, match="more memory"):
        check(spec.model_copy(update={"memory_mb": 100}), 5_000_000, 1)


def test_too_many_customers_to_fit_to_are_told_before_they_are_loaded(shop: Shop):
    with pytest.raises(
        TooLargeError, match=r"^RESOURCE_EXHAUSTED: Fitting the models to 9000000 customers needs about"
    ):
        check_fit(shop.spec("out", memory_mb=400), 9_000_000)
    check_fit(shop.spec("out", memory_mb=400), 100_000)


@pytest.mark.usefixtures("warm")
def test_a_job_that_does_not_fit_ends_with_the_way_out(shop: Shop, tmp_path: Path):
    spec = shop.spec("out", memory_mb=16)
    handle = launch(spec, tmp_path / "job")
    told = eventually(lambda: handle.pid is None and handle.poll(), timeout=60)
    assert told.state is State.FAILED
    assert told.message.startswith("RESOURCE_EXHAUSTED: ")
    assert "give the job more memory" in told.message


def test_threads_give_equal_scores_and_fewer_where_memory_is_scarce(shop: Shop):
    one = shop.run(shop.spec("one"))
    spec = shop.spec("two", threads=2)
    assert shop.run(spec).equals(one)
    assert (Folder(spec.output).read_json(program.SUCCESS) or {})["place"] == "in this process, 2 threads"
    assert widest(shop.spec("out", memory_mb=200, partitions=16), 1_000_000, 4) == 1
    assert widest(shop.spec("out", memory_mb=4_000, partitions=16), 1_000_000, 4) == 4


def test_an_object_store_does_as_well_as_a_folder(shop: Shop, bucket: str):
    local = shop.run(shop.spec("local"))
    spec = shop.spec("out").model_copy(update={"output": f"{bucket}/out"})
    output = Folder(spec.output)
    score.run(spec, output, Reporter(output))
    names = sorted(name for name in output.names() if name.startswith("scores-"))
    assert pa.concat_tables([pq.read_table(output.open(name)) for name in names]).equals(local)
    assert output.names() >= {"_SUCCESS", "model.json", "progress.json"}
    assert output.names("work") == set()


def test_a_spec_names_its_mistakes():
    with pytest.raises(ValueError, match="horizon_weeks"):
        JobSpec.model_validate({"tenant": "t", "horizon_weeks": 0})
    with pytest.raises(ValueError, match="timezone"):
        JobSpec.model_validate({"tenant": "t", "as_of": "2026-01-01T00:00:00"})


def test_scores_outlive_a_change_of_partitions(shop: Shop):
    first = shop.run(shop.spec("out", partitions=7))
    spec = shop.spec("out", partitions=2)
    assert shop.run(spec).equals(first)
    assert scores_of(spec).num_rows == 1_500
