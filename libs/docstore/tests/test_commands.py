import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from mongoengine import IntField, StringField
from rapport.access.v1 import role_pb2
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock, context, tenancy
from chassis.errors import AlreadyExists, FailedPrecondition
from docstore.commands import ATTEMPTS
from docstore.idempotency import KEPT_FOR, KEPT_PER_DOCUMENT


class Account(docstore.Aggregate):
    meta = {
        "collection": "accounts",
        "indexes": [
            {
                "fields": ["tenant", "email"],
                "unique": True,
                "partialFilterExpression": {"email": {"$exists": True}},
            }
        ],
    }
    resource = "accounts"
    email = StringField()
    balance = IntField(default=0)


DOCUMENTS = [Account]


class AnswerLostError(Exception):
    """The answer never reached the caller."""


@docstore.command(Account)
def open_account(email: str | None = None) -> Account:
    account = Account.new(email=email)
    account.emit(events_pb2.CustomerCreated())
    return account.insert()


closed: set[str] = set()


@docstore.command(Account, inserts=True)
def open_with(email: str) -> Account:
    if email in closed:
        raise FailedPrecondition("CLOSED", "No accounts for this address any more.")
    return Account.new(email=email).insert()


@docstore.command(Account)
def deposit(uid: str, amount: int, etag: str | None = None) -> Account:
    account = Account.get(uid)
    account.balance += amount
    account.emit(events_pb2.CustomerUpdated())
    return account.save(etag)


@docstore.command(None)
def transfer(source: str, target: str, amount: int) -> Account:
    taken, given = Account.get(source), Account.get(target)
    taken.balance -= amount
    given.balance += amount
    taken.save()
    return given.save()


def marks(uid: str) -> int:
    row = docstore.collection(Account).find_one({"uid": uid})
    assert row is not None
    return len(row.get("requests", []))


def test_a_repeated_create_returns_the_first_one(request_of: Callable) -> None:
    with request_of() as request:
        first = open_account()
        again = open_account()
    assert again.uid == first.uid
    assert docstore.collection(Account).count() == 1
    with request_of(request.request_id, principal="principals/bob"):
        assert open_account().uid != first.uid
    with request_of(request.request_id, method="x/Other"):
        assert open_account().uid != first.uid


def test_a_repeated_insert_returns_the_first_one_even_when_it_would_be_refused_by_now(request_of: Callable) -> None:
    with request_of(body="one") as request:
        first = open_with("anna@example.com")
        assert open_with("anna@example.com").uid == first.uid
        closed.add("anna@example.com")
        assert open_with("anna@example.com").uid == first.uid
    with request_of(request.request_id, body="two"):
        for email in ("anna@example.com", "bert@example.com"):
            with pytest.raises(AlreadyExists) as caught:
                open_with(email)
            assert caught.value.reason == "REQUEST_ID_REUSED"
    with request_of(), pytest.raises(FailedPrecondition):
        open_with("anna@example.com")
    closed.clear()
    with request_of(), pytest.raises(AlreadyExists) as caught:
        open_with("anna@example.com")
    assert caught.value.reason == "ALREADY_EXISTS"
    assert docstore.collection(Account).count() == 1


def test_the_same_request_id_in_another_tenant_is_another_request(request_of: Callable) -> None:
    with request_of() as request:
        first = open_account()
        with context.use(
            context.RequestContext("other", request.principal, frozenset(), request.method, request.request_id, "body")
        ):
            assert open_account().uid != first.uid


def test_a_reused_request_id_is_refused(request_of: Callable) -> None:
    with request_of(body="one") as request:
        account = open_account()
    with request_of(request.request_id, body="two"), pytest.raises(AlreadyExists) as caught:
        open_account()
    assert caught.value.reason == "REQUEST_ID_REUSED"
    with request_of(body="three") as request:
        deposit(account.uid, 5)
    with request_of(request.request_id, body="four"), pytest.raises(AlreadyExists):
        deposit(account.uid, 6)
    assert Account.get(account.uid).balance == 5


def test_a_repeated_change_happens_once_and_returns_what_is_now(request_of: Callable) -> None:
    account = Account.new().insert()
    with request_of() as request:
        deposit(account.uid, 10)
    with request_of():
        deposit(account.uid, 1)
    with request_of(request.request_id):
        assert deposit(account.uid, 10).balance == 11
    assert Account.get(account.uid).balance == 11


def test_a_lost_answer_is_found_again(request_of: Callable) -> None:
    """The process dies (here: raises) after the write and before the answer; the caller repeats."""
    runs: list[str] = []

    @docstore.command(Account)
    def dies_after_writing(uid: str) -> Account:
        runs.append(uid)
        account = Account.get(uid)
        account.balance += 7
        account.save()
        raise AnswerLostError

    account = Account.new().insert()
    with request_of():
        with pytest.raises(AnswerLostError):
            dies_after_writing(account.uid)
        assert dies_after_writing(account.uid).balance == 7
    assert len(runs) == 1


def test_a_no_op_counts_as_carried_out(request_of: Callable) -> None:
    """Setting what is already set must not set it later, when the repeat arrives after another change."""

    @docstore.command(Account)
    def set_balance(uid: str, balance: int) -> Account:
        account = Account.get(uid)
        account.balance = balance
        return account.save()

    account = Account.new(balance=1).insert()
    with request_of() as request:
        assert set_balance(account.uid, 1).version == 1
    with request_of():
        set_balance(account.uid, 2)
    with request_of(request.request_id):
        assert set_balance(account.uid, 1).balance == 2


def test_simultaneous_repeats_write_once(request_of: Callable) -> None:
    account = Account.new().insert()
    request_id, barrier = str(uuid.uuid4()), threading.Barrier(8)

    def call(create: bool) -> str:
        with request_of(request_id, body=str(create), method=str(create)):
            barrier.wait(10)
            return open_account("once@example.com").uid if create else deposit(account.uid, 3).uid

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(call, [True] * 8))) == 1
        assert set(pool.map(call, [False] * 8)) == {account.uid}
    assert docstore.collection(Account).count() == 2
    assert Account.get(account.uid).balance == 3


def test_a_race_of_repeats_is_settled_by_the_index(request_of: Callable) -> None:
    """Both looked for an earlier run and found none; then one writes after the other."""
    account, request_id = Account.new().insert(), str(uuid.uuid4())
    overtaken: list[str] = []

    def overtake(function: Callable[[], Account], method: str) -> None:
        if not overtaken:
            overtaken.append("once")
            with request_of(request_id, method=method):
                overtaken.append(function().uid)

    @docstore.command(Account)
    def create() -> Account:
        made = Account.new(email="race@example.com")
        overtake(separate(create), "create")
        return made.insert()

    @docstore.command(Account)
    def change() -> Account:
        read = Account.get(account.uid)
        overtake(separate(change), "change")
        read.balance += 3
        return read.save()

    with request_of(request_id, method="create"):
        assert create().uid == overtaken[1]
    overtaken.clear()
    with request_of(request_id, method="change"):
        assert change().balance == 3
    assert Account.get(account.uid).balance == 3


def separate(function: Callable[[], Account]) -> Callable[[], Account]:
    """The function as another process would run it: in the same request, outside the running command."""

    def run() -> Account:
        request = context.current()
        with ThreadPoolExecutor(1) as process:
            return process.submit(in_request, request, function).result()

    return run


def in_request(request: context.RequestContext, function: Callable[[], Account]) -> Account:
    with context.use(request):
        return function()


def test_conflicts_are_retried_on_a_fresh_reading(request_of: Callable) -> None:
    account = Account.new().insert()
    tenant = tenancy.tenant()

    def call(_: int) -> None:
        with context.use(context.RequestContext(tenant, "principals/ann", frozenset(), "x/Y", str(uuid.uuid4()), "b")):
            for _ in range(5):
                with request_of():
                    deposit(account.uid, 1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(call, range(3)))
    read = Account.get(account.uid)
    assert (read.balance, read.version) == (15, 16)
    row = docstore.collection(Account).find_one({"uid": account.uid})
    assert row is not None
    assert sorted(entry["sequence"][0] for entry in row["outbox"]) == list(range(2, 17))


def test_endless_conflict_ends_in_aborted(tenant: str) -> None:
    account = Account.new().insert()
    runs: list[int] = []

    @docstore.command(Account)
    def overtaken() -> Account:
        runs.append(1)
        mine = Account.get(account.uid)
        docstore.collection(Account).update_one({"uid": account.uid}, {"$inc": {"version": 1}})
        mine.balance = -1
        return mine.save()

    with pytest.raises(docstore.Conflict):
        overtaken()
    assert len(runs) == ATTEMPTS


def test_marks_are_bounded_and_old_ones_go(request_of: Callable) -> None:
    account = Account.new().insert()
    old = clock.real_now() - KEPT_FOR - timedelta(minutes=1)
    docstore.collection(Account).update_one(
        {"uid": account.uid},
        {"$set": {"requests": [{"key": f"old{n}", "body": "", "time": old} for n in range(KEPT_PER_DOCUMENT)]}},
    )
    with request_of():
        deposit(account.uid, 1)
    assert marks(account.uid) == 1
    for _ in range(KEPT_PER_DOCUMENT + 2):
        with request_of():
            deposit(account.uid, 1)
    assert marks(account.uid) == KEPT_PER_DOCUMENT


def test_a_command_over_one_document_cannot_write_two(request_of: Callable) -> None:
    @docstore.command(Account)
    def two() -> Account:
        Account.new().insert()
        return Account.new().insert()

    with request_of(), pytest.raises(RuntimeError, match=r"@command\(None\)"):
        two()


def test_several_documents_change_together_and_once(request_of: Callable) -> None:
    one, two = Account.new(balance=10).insert(), Account.new().insert()
    with request_of(body="a") as request:
        transfer(one.uid, two.uid, 4)
        assert transfer(one.uid, two.uid, 4).name == two.name
    assert (Account.get(one.uid).balance, Account.get(two.uid).balance) == (6, 4)
    with request_of(request.request_id, body="b"), pytest.raises(AlreadyExists):
        transfer(one.uid, two.uid, 5)


def test_several_documents_change_not_at_all_when_it_fails(request_of: Callable) -> None:
    one, two = Account.new(balance=10).insert(), Account.new().insert()

    @docstore.command(None)
    def half() -> Account:
        taken = Account.get(one.uid)
        taken.balance -= 4
        taken.save()
        raise AnswerLostError

    with request_of() as request:
        with pytest.raises(AnswerLostError):
            half()
        assert Account.get(one.uid).balance == 10
    with request_of(request.request_id):
        transfer(one.uid, two.uid, 4)
    assert (Account.get(one.uid).balance, Account.get(two.uid).balance) == (6, 4)


def test_simultaneous_repeats_over_several_documents_happen_once(request_of: Callable) -> None:
    one, two = Account.new(balance=100).insert(), Account.new().insert()
    request_id, barrier = str(uuid.uuid4()), threading.Barrier(6)

    def call(_: int) -> str:
        with request_of(request_id):
            barrier.wait(10)
            return transfer(one.uid, two.uid, 10).uid

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(call, range(6))) == {two.uid}
    assert (Account.get(one.uid).balance, Account.get(two.uid).balance) == (90, 10)


def test_a_message_is_replayed_as_it_was(request_of: Callable) -> None:
    @docstore.command(None, replay=role_pb2.Role.FromString)
    def make() -> role_pb2.Role:
        return role_pb2.Role(name=f"roles/{Account.new().insert().uid}")

    with request_of():
        first = make()
        assert make() == first
    assert docstore.collection(Account).count() == 1


def test_a_command_inside_a_command_takes_part_in_it(request_of: Callable) -> None:
    @docstore.command(None)
    def outer() -> Account:
        return deposit(open_account().uid, 5)

    with request_of():
        account = outer()
        assert outer().uid == account.uid
    assert account.balance == 5
    assert marks(account.uid) == 0


def test_a_transaction_inside_a_command_over_one_document_is_refused(request_of: Callable) -> None:
    @docstore.command(Account)
    def wrong() -> Account:
        return docstore.in_transaction(lambda: Account.new().insert())

    with request_of(), pytest.raises(RuntimeError, match=r"@command\(None\)"):
        wrong()
