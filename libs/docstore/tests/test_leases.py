from concurrent.futures import ThreadPoolExecutor

import pytest
from mongoengine import StringField

import docstore
from chassis import clock, tenancy
from docstore import leases
from testkit import eventually


class Job(docstore.Record):
    meta = {
        "collection": "jobs",
        "indexes": [{"fields": [("tenant", 1), ("state", 1), ("lease.until", 1)]}],
    }
    state = StringField()


DOCUMENTS = [Job]


def jobs(count: int) -> docstore.TenantCollection:
    rows = docstore.collection(Job)
    rows.insert_many([{"state": "WAITING"} for _ in range(count)])
    return rows


def test_each_job_goes_to_one_owner(tenant: str) -> None:
    rows = jobs(20)

    def work(owner: str) -> list[str]:
        mine = []
        with tenancy.service_context(tenant):
            while (job := leases.claim(rows, {"state": "WAITING"}, 60, owner)) is not None:
                assert job["lease"]["owner"] == owner
                mine.append(job["uid"])
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [uid for part in pool.map(work, "abcd") for uid in part]
    assert len(claimed) == len(set(claimed)) == 20


def test_a_dead_owners_job_is_free_again_and_the_dead_cannot_touch_it(tenant: str) -> None:
    rows = jobs(1)
    first = leases.claim(rows, {"state": "WAITING"}, 0.2, "first")
    assert first is not None
    assert leases.claim(rows, {"state": "WAITING"}, 60, "second") is None
    second = eventually(lambda: leases.claim(rows, {"state": "WAITING"}, 60, "second"), timeout=5)
    assert not leases.renew(rows, first, 60)
    assert not leases.release(rows, first)
    assert rows.update_one(leases.held(first), {"$set": {"state": "DONE"}}).matched_count == 0
    with pytest.raises(leases.LeaseLost):
        leases.change(rows, first, {"$set": {"state": "DONE"}})
    with pytest.raises(leases.LeaseLost):
        leases.change(rows, second, {"$set": {"state": "DONE"}}, state="RUNNING")
    leases.change(rows, second, {"$set": {"state": "DONE"}}, state="WAITING")
    assert rows.count({"state": "DONE"}) == 1


def test_the_same_owner_twice_holds_two_different_leases(tenant: str) -> None:
    rows = jobs(1)
    first = leases.claim(rows, {}, 60, "me")
    assert first is not None
    assert leases.release(rows, first)
    second = leases.claim(rows, {}, 60, "me")
    assert second is not None
    assert not leases.renew(rows, first, 60)
    assert leases.renew(rows, second, 120)
    renewed = rows.find_one({"uid": second["uid"]})
    assert renewed is not None
    assert (renewed["lease"]["until"] - clock.real_now()).total_seconds() > 100


def test_release_with_a_pause(tenant: str) -> None:
    rows = jobs(1)
    job = leases.claim(rows, {}, 60, "me")
    assert job is not None
    assert leases.release(rows, job, pause_s=60)
    assert leases.claim(rows, {}, 60, "me") is None


def test_all_tenants_jobs_in_platform_scope(tenant: str) -> None:
    jobs(1)
    with tenancy.service_context("other"):
        jobs(1)
    with docstore.platform_scope():
        every = docstore.platform_collection(Job)
        found = [leases.claim(every, {"state": "WAITING"}, 60, "run", sort=[("_id", 1)]) for _ in range(2)]
        assert {job["tenant"] for job in found if job} >= {tenant}
        assert all(leases.release(every, job) for job in found if job)


def test_free_jobs_are_found_by_index(tenant: str) -> None:
    rows = jobs(50)
    rows.insert_many([{"state": "DONE"} for _ in range(500)])
    for _ in range(40):
        leases.claim(rows, {"state": "WAITING"}, 60, "me")
    docstore.explain.assert_indexed(Job, {"state": "WAITING", **leases.free()}, [("lease.until", 1)], limit=1)
