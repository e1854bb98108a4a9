"""The program that makes offers: it finds planted pairs, and knows when it knows nothing."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from scoring import parquet
from scoring.jobs import program, train_offers
from scoring.jobs.files import Folder
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Progress, Reporter
from scoring.models.offers.listing import NEW

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIRS = 40


def shop(customers: int = 400, pairs: int = PAIRS, *, planted: bool = True, seed: int = 5) -> list[dict[str, Any]]:
    """Who buys `a03` buys `b03`, in one purchase half of the time and within weeks otherwise; the rest is chance."""
    chance = random.Random(seed)
    rows = []
    for who in range(customers):
        day = chance.randrange(200, 360)
        for number in range(chance.randint(2, 4)):
            pair, other = chance.randrange(pairs), f"c{chance.randrange(pairs):02}"
            first, second = f"a{pair:02}", f"b{pair:02}" if planted else f"b{chance.randrange(pairs):02}"
            together = chance.random() < 0.5
            rows += lines(who, f"{number}", day, *([first, second] if together else [first]), other)
            later = day - chance.randint(20, 150)
            if not together and later >= 0:  # else it is still to come
                rows += lines(who, f"{number}later", later, second)
            day = max(day - chance.randint(10, 90), 0)
    return rows


def lines(who: int, purchase: str, days_ago: int, *products: str) -> list[dict[str, Any]]:
    time = NOON - timedelta(days=days_ago)
    of = {"customer": f"customers/{who:04}", "purchase": f"{who}-{purchase}", "event_time": time, "quantity": 1.0}
    return [{**of, "product": product, "price_minor": None, "currency": None} for product in products]


def made(folder: Path, *files: list[dict[str, Any]], **told: Any) -> dict[str, Any]:
    """What the program makes of some files: its model, `offers` by customer, and `associations`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.parquet" for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        path.write_bytes(parquet.order_lines(rows))
    output = Folder(str(folder / "result"))
    spec = OfferJobSpec(
        **{"tenant": "acme", "as_of": NOON, "consenting": 1.0, "inputs": list(map(str, paths))} | told,
        output=str(folder / "result"),
    )
    train_offers.run(spec, output, Reporter(output))
    model, rules = output.read_json(program.MODEL), output.read_json(train_offers.ASSOCIATIONS)
    assert model is not None
    assert rules is not None
    with output.open(train_offers.OFFERS) as file:
        offers = {row.pop("customer"): row for row in pq.read_table(file).to_pylist()}
    return {**model, "offers": offers, "associations": rules}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return made(tmp_path_factory.mktemp("planted"), shop())


def test_planted_pairs_are_offered_and_beat_what_is_popular(found) -> None:
    candidate = found["judgement"]["candidate"]
    assert candidate["state"] == "CHAMPION", candidate["gates"]
    names = [gate["name"] for gate in candidate["gates"]]
    assert names == ["minimum_data", "consenting_share", "baseline", "calibration"]
    assert found["metrics"]["better"]["low"] > 0
    assert found["metrics"]["hit_rate_at_10"]["value"] > found["metrics"]["popular_hit_rate_at_10"] + 0.1
    assert "stand_in" not in found["judgement"]
    # Who has the one and not the other is offered the other before any that goes with nothing of theirs.
    wanted = first = 0
    for row in found["offers"].values():
        bought = {product for product, day in zip(row["products"], row["bought_day"], strict=True) if day >= 0}
        new = [product for product in row["products"] if product not in bought]
        missing = {f"b{one[1:]}" for one in bought if one[0] == "a"} - bought
        wanted += bool(missing)
        first += bool(missing) and new[0] in missing
    assert wanted > 15
    assert first / wanted > 0.9


def test_what_rules_block_is_kept_beside_as_many_others(tmp_path) -> None:
    keys = tmp_path / "blocked.parquet"
    keys.write_bytes(parquet.strings({"key": ["=b03", "^c"]}))
    rows = shop(60)
    before = made(tmp_path / "before", rows)["offers"]
    after = made(tmp_path / "after", rows, blocked=str(keys))["offers"]
    for name, row in after.items():
        free = [product for product in row["products"] if product != "b03" and product[0] != "c"]
        bought = {product for product, day in zip(row["products"], row["bought_day"], strict=True) if day >= 0}
        assert len([product for product in free if product not in bought]) == NEW
        assert set(before[name]["products"]) <= set(row["products"])


def test_planted_rules_are_found_with_exact_counts(found) -> None:
    rows = shop()
    baskets: dict[str, set[str]] = {}
    for row in rows:
        baskets.setdefault(row["purchase"], set()).add(row["product"])
    rules = found["associations"]["rules"]
    assert found["associations"]["baskets"] == len(baskets)
    simple = {(rule["antecedents"][0], rule["consequent"]) for rule in rules if len(rule["antecedents"]) == 1}
    planted = {(f"{one}{pair:02}", f"{other}{pair:02}") for pair in range(PAIRS) for one, other in ("ab", "ba")}
    assert planted <= simple
    assert len(simple - planted) <= 0.1 * len(simple), "at most so many false finds"
    for rule in rules:
        left, right = set(rule["antecedents"]), {rule["consequent"]}
        counts = [sum(want <= basket for basket in baskets.values()) for want in (left | right, left, right)]
        assert [rule["both"], rule["antecedent_count"], rule["consequent_count"]] == counts
        buyers: dict[str, set[str]] = {}
        for row in rows:
            buyers.setdefault(row["product"], set()).add(row["customer"])
        assert rule["customers"] == len(set.intersection(*(buyers[one] for one in left | right))) >= 5
        assert 0 <= rule["p_value"] <= rule["q_value"] <= 0.05
    strength = [rule["both"] * len(baskets) - rule["antecedent_count"] * rule["consequent_count"] for rule in rules]
    assert strength == sorted(strength, reverse=True)


def test_without_any_pattern_what_is_popular_stands_in_and_it_says_so(tmp_path) -> None:
    told = made(tmp_path, shop(planted=False))
    assert told["judgement"]["candidate"]["state"] == "REJECTED"
    stand_in = told["judgement"]["stand_in"]
    assert "what is popular is offered to everybody" in stand_in["message"]
    whys = {why.partition(":")[0] for row in told["offers"].values() for why in row["reasons"]}
    assert whys <= {"because many buy it", "because others buy it"}
    assert {value for row in told["offers"].values() for value in row["probability"]} == {None}


@pytest.mark.parametrize("rows", [[], lines(1, "x", 3, "a00", "b00"), shop(30)])
def test_with_too_little_it_says_what_is_missing(tmp_path, rows) -> None:
    told = made(tmp_path, rows)
    (gate, _) = told["judgement"]["candidate"]["gates"]
    assert (gate["name"], gate["passed"]) == ("minimum_data", False)
    assert "at least 50 and 30 are needed" in gate["message"]
    assert told["offers"].keys() == {row["customer"] for row in rows}
    assert told["associations"]["baskets"] == len({row["purchase"] for row in rows})


def test_equal_lines_in_other_files_make_equal_offers(tmp_path, found) -> None:
    by_purchase: dict[str, list[dict[str, Any]]] = {}
    for row in shop():
        by_purchase.setdefault(row["purchase"], []).append(row)
    purchases = list(by_purchase.values())
    random.Random(1).shuffle(purchases)
    halves = [[row for one in half for row in one] for half in (purchases[::2], purchases[1::2], [])]
    other = made(tmp_path, *halves)
    assert other["offers"] == found["offers"]
    assert other["associations"] == found["associations"]
    assert other["metrics"] == found["metrics"]


def test_it_is_done_once_and_again_when_lines_change(tmp_path, monkeypatch) -> None:
    made(tmp_path, shop(30))
    with monkeypatch.context() as patched:
        patched.setattr(train_offers.order_lines, "read", lambda *_: pytest.fail("it was done already"))
        made(tmp_path, shop(30))
        told = Progress.read(Folder(str(tmp_path / "result")))
        assert told is not None
        assert told.message == "was done already"
    assert len(made(tmp_path, shop(31))["offers"]) == 31


def test_merged_customers_are_one_and_who_may_not_be_profiled_is_in_nothing(tmp_path) -> None:
    aliases, exclude = tmp_path / "aliases.parquet", tmp_path / "exclude.parquet"
    aliases.write_bytes(parquet.strings({"customer": ["customers/0001"], "canonical": ["customers/0002"]}))
    exclude.write_bytes(parquet.strings({"customer": ["customers/0003"]}))
    rows = [*lines(1, "x", 3, "p1"), *lines(2, "y", 2, "p2"), *lines(3, "z", 1, "p3", "p4")]
    told = made(tmp_path / "job", rows, aliases=str(aliases), exclude=str(exclude))
    assert told["offers"].keys() == {"customers/0002"}
    assert set(told["offers"]["customers/0002"]["products"]) == {"p1", "p2"}
    assert (told["customers"], told["purchases"]) == (1, 2)
    assert told["associations"]["baskets"] == 2
    assert not (tmp_path / "job" / "result" / "work").exists(), "no list of people stays"


def test_what_nobody_bought_for_long_is_not_offered(tmp_path) -> None:
    told = made(tmp_path, [*lines(1, "x", 3, "p1"), *lines(2, "y", 178, "p2"), *lines(3, "z", 200, "p3")])
    assert {product for row in told["offers"].values() for product in row["products"]} == {"p1", "p2"}
    assert "1 products that nobody bought for 180 days are not offered" in told["message"]


def test_the_newest_lines_count_when_there_are_too_many_and_none_after_the_instant(tmp_path) -> None:
    rows = [row for day in range(-5, 50) for row in lines(1, f"{day}", day, f"p{day}")]
    told = made(tmp_path, rows, most_lines=10)
    assert set(told["offers"]["customers/0001"]["products"]) == {f"p{day}" for day in range(10)}
    assert "40 older lines are left out: the newest 10 are learned from" in told["message"]


def test_what_cannot_be_read_is_named(tmp_path) -> None:
    (tmp_path / "no.parquet").write_bytes(parquet.strings({"customer": ["x"]}))
    with pytest.raises(UnusableError, match="has no column purchase"):
        made(tmp_path / "job", inputs=[str(tmp_path / "no.parquet")])


def test_what_would_not_fit_into_memory_says_how_much_it_needs(tmp_path) -> None:
    with pytest.raises(UnusableError, match=r"RESOURCE_EXHAUSTED: 0 lines .* need about 150 MB; 100 MB are free"):
        made(tmp_path / "lines", [], memory_mb=100)
    rows = [row for number in range(300) for row in lines(1, f"{number}", 3, f"p{number}")]
    with pytest.raises(UnusableError, match="300 lines of orders with 300 products need about 152 MB; 151 MB are free"):
        made(tmp_path / "products", rows, memory_mb=151)
    made(tmp_path / "enough", rows, memory_mb=153)
