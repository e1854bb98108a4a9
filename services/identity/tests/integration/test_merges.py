"""Merging and unmerging profiles."""

import itertools
import threading
import uuid

from identity.store import Customer
from identity.store.customers import profile_members

from .conftest import identify, track

SERVICE = "identity"


def test_a_merge_joins_two_profiles_and_its_undo_parts_them_exactly(client):
    ada = client.create(email="ada@example.com", display_name="Ada", traits={"plan": "gold"})
    app = client.create(email="ada@app.example", phone="+493012345", traits={"plan": "free", "device": "ios"})
    merge = client.MergeCustomer(name=app.name, merged_customer=ada.name, comment="same person, phoned")
    assert merge.customer == ada.name, "the oldest stands for the profile, whoever was named first"
    assert merge.merged_customer == app.name
    assert merge.actor == "principals/tester"
    (reason,) = merge.reasons
    assert (reason.rule, reason.comment, list(reason.customers)) == (3, "same person, phoned", [app.name, ada.name])

    whole = client.GetCustomer(name=app.name)
    assert whole == client.GetCustomer(name=ada.name)
    assert whole.name == ada.name
    assert list(whole.merged_customers) == [app.name]
    assert (whole.display_name, whole.email, whole.phone) == ("Ada", "ada@example.com", "+493012345")
    assert dict(whole.traits) == {"plan": "gold", "device": "ios"}
    assert {(i.value, i.customer) for i in whole.identifiers} == {
        ("ada@example.com", ada.name),
        ("ada@app.example", app.name),
        ("+493012345", app.name),
    }
    assert whole.etag != ada.etag
    assert [one.name for one in client.ListCustomers().customers] == [ada.name]

    undone = client.UndoMerge(name=merge.name, etag=merge.etag)
    assert undone.state == 2
    assert undone.HasField("undo_time")
    for before in (ada, app):
        after = client.GetCustomer(name=before.name)
        for output_only in ("etag", "update_time"):
            after.ClearField(output_only)
            before.ClearField(output_only)
        assert after == before


def test_merging_tells_every_alias_that_changes(client):
    first, second, third = (client.create() for _ in range(3))
    client.MergeCustomer(name=second.name, merged_customer=third.name)
    merge = client.MergeCustomer(name=third.name, merged_customer=first.name)
    told = [(kind, subject, sequence[0]) for kind, subject, sequence in client.events(Customer)]
    assert {one for one in told if "Merged" in one[0]} == {
        ("CustomerMerged", third.name, 2),
        ("CustomerMerged", second.name, 3),
        ("CustomerMerged", third.name, 3),
    }
    client.UndoMerge(name=merge.name)
    told = {(kind, subject) for kind, subject, _ in client.events(Customer)[len(told) :]}
    assert told == {
        ("CustomerUnmerged", second.name),
        ("CustomerMerged", third.name),
        ("CustomerUpdated", first.name),
        ("CustomerUpdated", second.name),
    }


def test_a_chain_falls_apart_only_where_it_is_cut(client):
    a, b, c, d = (client.create(display_name=n) for n in "abcd")
    client.MergeCustomer(name=a.name, merged_customer=b.name)
    middle = client.MergeCustomer(name=b.name, merged_customer=c.name)
    client.MergeCustomer(name=c.name, merged_customer=d.name)
    assert len(client.GetCustomer(name=d.name).merged_customers) == 3
    client.UndoMerge(name=middle.name)
    assert list(client.GetCustomer(name=b.name).merged_customers) == [b.name]
    whole = client.GetCustomer(name=d.name)
    assert (whole.name, list(whole.merged_customers)) == (c.name, [d.name])


def test_merges_that_make_no_sense_are_refused(client):
    a, b, c = (client.create() for _ in range(3))
    assert client.refused("MergeCustomer", name=a.name, merged_customer=a.name).reason == "MERGE_WITH_ITSELF"
    client.MergeCustomer(name=a.name, merged_customer=b.name)
    merge = client.MergeCustomer(name=b.name, merged_customer=c.name)
    loop = client.refused("MergeCustomer", name=c.name, merged_customer=a.name)
    assert (loop.code, loop.reason) == ("FAILED_PRECONDITION", "ALREADY_MERGED")
    missing = client.refused("MergeCustomer", name=a.name, merged_customer=f"customers/{uuid.uuid4()}")
    assert missing.code == "NOT_FOUND"
    gone = client.create()
    client.DeleteCustomer(name=gone.name)
    assert client.refused("MergeCustomer", name=a.name, merged_customer=gone.name).reason == "CUSTOMER_DELETED"
    client.UndoMerge(name=merge.name)
    again = client.refused("UndoMerge", name=merge.name)
    assert (again.code, again.reason) == ("FAILED_PRECONDITION", "ALREADY_UNDONE")
    assert client.refused("UndoMerge", name=f"merges/{uuid.uuid4()}").code == "NOT_FOUND"


def test_a_repeated_merge_request_answers_the_same(client):
    a, b = client.create(), client.create()
    request_id = str(uuid.uuid4())
    merge = client.MergeCustomer(name=a.name, merged_customer=b.name, request_id=request_id)
    assert client.MergeCustomer(name=a.name, merged_customer=b.name, request_id=request_id) == merge
    assert len(client.ListMerges().merges) == 1
    stale = client.refused("UndoMerge", name=merge.name, etag='"7"')
    assert (stale.code, stale.reason) == ("ABORTED", "ETAG_MISMATCH")


def test_concurrent_merges_end_in_one_profile(client):
    made = [client.create() for _ in range(6)]
    threads = [
        threading.Thread(target=client.MergeCustomer, kwargs={"name": one.name, "merged_customer": other.name})
        for one, other in itertools.pairwise(made)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = client.GetCustomer(name=made[-1].name)
    assert whole.name == made[0].name
    assert len(whole.merged_customers) == 5
    with client.context():
        assert len(profile_members([made[0].uid])) == 6


def test_merges_are_listed_and_filtered(client):
    a, b, c = (client.create() for _ in range(3))
    first = client.MergeCustomer(name=a.name, merged_customer=b.name)
    second = client.MergeCustomer(name=a.name, merged_customer=c.name)
    client.UndoMerge(name=first.name)
    assert [one.name for one in client.ListMerges().merges] == [second.name, first.name]
    assert [one.name for one in client.ListMerges(filter="state = STATE_UNDONE").merges] == [first.name]
    assert [one.name for one in client.ListMerges(filter=f'merged_customer = "{c.name}"').merges] == [second.name]
    assert client.GetMerge(name=second.name) == second
    page = client.ListMerges(page_size=1)
    assert [one.name for one in client.ListMerges(page_size=1, page_token=page.next_page_token).merges] == [first.name]


def test_an_edit_of_a_merged_profile_holds_and_parts_with_it(client):
    ada = client.create(display_name="Ada")
    app = client.create(display_name="ada_l", time_zone="Europe/London", phone="+493012345")
    merge = client.MergeCustomer(name=ada.name, merged_customer=app.name)
    whole = client.UpdateCustomer(
        customer={"name": app.name, "given_name": "Ada"}, update_mask={"paths": ["given_name", "phone"]}
    )
    assert (whole.name, whole.given_name, whole.phone) == (ada.name, "Ada", "")
    assert client.GetCustomer(name=app.name).phone == "", "emptied by hand stays empty"
    client.UndoMerge(name=merge.name)
    assert client.GetCustomer(name=app.name).phone == "+493012345"
    assert client.GetCustomer(name=ada.name).given_name == "Ada"


def test_deleting_any_name_deletes_the_person(client):
    a, b = client.create(email="a@example.com"), client.create(email="b@example.com")
    client.MergeCustomer(name=a.name, merged_customer=b.name)
    client.DeleteCustomer(name=b.name)
    assert client.ListCustomers().customers == []
    assert client.GetCustomer(name=a.name).HasField("delete_time")
    client.UndeleteCustomer(name=a.name)
    assert not client.GetCustomer(name=b.name).HasField("delete_time")


def test_the_same_evidence_does_not_merge_again_what_people_have_parted(client, applier):
    client.apply(identify("i1", "u1", {"email": "home@example.com"}))
    client.apply(identify("i2", "u9", {"email": "home@example.com"}), source="app")
    (merge,) = client.ListMerges().merges
    assert (merge.reasons[0].rule, merge.reasons[0].identifier_kind) == (1, "KIND_EMAIL")
    assert merge.reasons[0].message_id == "i2"
    assert merge.actor == "sources/app"
    client.UndoMerge(name=merge.name)
    client.apply(identify("i3", "u9", {"email": "home@example.com"}), source="app")
    client.apply(identify("i4", "u9", {"email": "home@example.com"}), source="app")
    assert len(client.ListCustomers().customers) == 2
    (conflict,) = client.ListMergeConflicts().merge_conflicts
    assert conflict.guard == 3
    assert conflict.identifier_kind == "KIND_EMAIL"
    assert conflict.message_id == "i3"
    assert len(conflict.customers) == 2


def test_rows_follow_their_customer_after_an_unmerge(client, applier):
    client.apply(track("t1", "u1"))
    client.apply(track("t2", "u9"), source="app")
    shop, app = (client.lookup("KIND_USER_ID", uid, source) for uid, source in (("u1", "shop"), ("u9", "app")))
    merge = client.MergeCustomer(name=shop.name, merged_customer=app.name)
    both = client.ListTimelineEntries(parent=app.name).timeline_entries
    assert {entry.message_id for entry in both} == {"t1", "t2"}
    assert {entry.name.rpartition("/timelineEntries/")[0] for entry in both} == {shop.name, app.name}
    assert client.SummarizeTimeline(event="Order Completed").customer_count == 1
    client.UndoMerge(name=merge.name)
    assert [e.message_id for e in client.ListTimelineEntries(parent=app.name).timeline_entries] == ["t2"]
    assert client.SummarizeTimeline(event="Order Completed").customer_count == 2
