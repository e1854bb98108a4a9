import io
from pathlib import Path

import pytest

from chassis import tenancy
from chassis.errors import NotFound
from chassis.settings import Settings
from docstore import blobs
from docstore.blobs import BlobStore
from testkit.keys import TEST_KEYRING

SUBJECT = "customers/0192"


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(f"file://{tmp_path}/blobs" if request.param == "file" else f"memory://{tmp_path.name}")


@pytest.fixture(autouse=True)
def _tenant() -> object:
    with tenancy.service_context("shop"):
        yield


def test_put_get_list_delete(store: BlobStore) -> None:
    assert store.list(SUBJECT) == []
    assert store.put(SUBJECT, "export.zip", b"one") == "shop/customers/0192/export.zip"
    store.put(SUBJECT, "a.txt", io.BytesIO(b"x" * 3_000_000))
    store.put(SUBJECT, "export.zip", b"two")
    assert store.list(SUBJECT) == ["a.txt", "export.zip"]
    assert store.get(SUBJECT, "export.zip") == b"two"
    with store.open(SUBJECT, "a.txt") as file:
        assert len(file.read()) == 3_000_000
    assert store.delete(SUBJECT, "a.txt")
    assert not store.delete(SUBJECT, "a.txt")
    assert store.delete_subject(SUBJECT) == 1
    assert store.delete_subject(SUBJECT) == 0
    with pytest.raises(NotFound) as caught:
        store.get(SUBJECT, "export.zip")
    assert caught.value.reason == "FILE_NOT_FOUND"


def test_what_killed_writers_left_can_be_deleted(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    assert store.delete_unfinished(SUBJECT) == 0
    store.put(SUBJECT, "a.txt", b"whole")
    (tmp_path / "shop" / SUBJECT / "a.txt.0192~").write_bytes(b"ha")
    assert store.delete_unfinished(SUBJECT) == 1
    assert [path.name for path in (tmp_path / "shop" / SUBJECT).iterdir()] == store.list(SUBJECT) == ["a.txt"]


def test_tenants_are_apart(store: BlobStore) -> None:
    store.put(SUBJECT, "a", b"mine")
    with tenancy.service_context("other"):
        assert store.list(SUBJECT) == []
        with pytest.raises(NotFound):
            store.get(SUBJECT, "a")
        store.put(SUBJECT, "a", b"theirs")
    assert store.get(SUBJECT, "a") == b"mine"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("..", "a"),
        ("customers/..", "a"),
        ("../other/customers", "a"),
        ("/customers", "a"),
        ("customers//1", "a"),
        ("customers/1/", "a"),
        ("", "a"),
        ("customers/1", "../a"),
        ("customers/1", "b/a"),
        ("customers/1", ".hidden"),
        ("customers/1", ""),
        ("customers/1", "a\0"),
        ("customers/1", "a\n"),
        ("customers/1", "a" * 129),
        ("customers\\..", "a"),
    ],
)
def test_leaving_the_folder_is_refused(store: BlobStore, subject: str, name: str) -> None:
    with pytest.raises(ValueError):
        store.put(subject, name, b"")
    with pytest.raises(ValueError):
        store.get(subject, name)


class Interrupted(io.RawIOBase):
    """Delivers something and then breaks, as an upload does."""

    def __init__(self) -> None:
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads > 2:
            raise ConnectionResetError
        return b"partial"


def test_a_broken_upload_leaves_the_old_file(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    store.put(SUBJECT, "a", b"old")
    with pytest.raises(ConnectionResetError):
        store.put(SUBJECT, "a", Interrupted())  # type: ignore[arg-type]
    assert store.get(SUBJECT, "a") == b"old"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a"]


def test_the_settings_name_the_place(tmp_path: Path) -> None:
    store = blobs.store(Settings(service="docstore", keys=TEST_KEYRING, blob_url=f"file://{tmp_path}"))
    store.put(SUBJECT, "a", b"x")
    assert (tmp_path / "shop" / "customers" / "0192" / "a").read_bytes() == b"x"
    with pytest.raises(ValueError, match="RAPPORT_BLOB_URL"):
        blobs.store(Settings(service="docstore", keys=TEST_KEYRING))
