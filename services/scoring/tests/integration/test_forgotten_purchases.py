"""What scoring online keeps of purchases goes when these do."""

import pytest

import docstore
from chassis import clock, ids
from scoring import migrate
from scoring.domain.histories import Bought, History
from scoring.store import FeatureManifest, PurchaseHistory
from scoring.usecases import flushing, histories, retention

from .conftest import customer

SERVICE = "scoring"


def test_histories_go_some_at_a_time_after_the_files_and_a_killed_runner_is_gone_on_with(
    client, settings, store, monkeypatch
) -> None:
    settings = settings.model_copy(update={"purchases_kept_days": 2_000})
    monkeypatch.setattr(retention, "_CHUNK", 2)
    monkeypatch.setattr(retention, "_CHUNKS_AT_ONCE", 2)
    names, now = [customer() for _ in range(5)], clock.now()
    for name in names:
        client.buys(name, -2_500, -1)

    def left() -> int:
        return int(PurchaseHistory.rows().count({"days": {"$exists": True}}))

    def killed(*_: int) -> int:
        raise KeyboardInterrupt

    def marked() -> int:
        return int(FeatureManifest.rows().count({"forget_before": {"$exists": True}}))

    with client.context():
        flushing.flush(settings, store)
        assert histories.load(names, "USD", store, now) == set(names)
        PurchaseHistory.rows().update_one({"customer": names[0]}, {"$set": {"due": now}})
        with monkeypatch.context() as patched:
            patched.setattr(retention.histories, "forget_before", killed)
            with pytest.raises(KeyboardInterrupt):
                retention.retire(settings, store)
        assert (left(), marked()) == (5, 1)
        assert retention.retire(settings, store) == 0, "no file is written anew for it"
        assert (left(), marked()) == (1, 1)
        retention.retire(settings, store)
        assert (left(), marked()) == (0, 0)
        (waiting,) = PurchaseHistory.rows().find({})
        assert (waiting["customer"], waiting["known"]) == (names[0], False)
        assert histories.load(names, "USD", store, now) == set(names)
        assert {row["purchases"] for row in PurchaseHistory.rows().find({})} == {1}
        retention.retire(settings, store)
        assert left() == 5


def test_histories_of_older_forms_are_forgotten_once_and_who_waits_keeps_the_place(client, settings) -> None:
    new, old, waits, asked = (customer() for _ in range(4))
    row = {"known": True, "currency": "USD", "form": 2, "days": b"1", "recent": [[0, -500, "", 1]], "oldest_day": None}
    rows = [
        {"customer": new, **row, **History().add([Bought(1, -500)], 2).to_row()},
        {"customer": old, **row},
        {"customer": waits, **row, "due": clock.now(), "form": None},
        {"customer": asked, "known": False, "due": clock.now()},
    ]
    with client.context():
        PurchaseHistory.rows().insert_many([{"uid": ids.uuid7(), **each} for each in rows])
    with docstore.platform_scope():
        for _ in range(2):
            migrate.MIGRATIONS[3].run(docstore.client()[settings.database])
    with client.context():
        left = {each["customer"]: each for each in PurchaseHistory.rows().find({})}
    assert left.keys() == {new, waits, asked}
    assert (left[new]["oldest_day"], left[new]["recent"]) == (0, [[1, -500, "", 0]])
    assert (left[waits]["known"], left[waits].keys() & {"days", "recent", "oldest_day"}) == (False, set())
    assert left[waits]["due"]
