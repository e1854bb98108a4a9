import contextvars
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chassis import tenancy
from chassis.errors import NotFound
from chassis.settings import ConfigurationError, Settings
from docstore import blobs
from docstore.blobs import BlobStore
from testkit.keys import TEST_KEYRING

SUBJECT = "customers/0192"


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "file":
        return BlobStore(f"file://{tmp_path}/blobs")
    return BlobStore(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


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


def test_a_broken_upload_leaves_the_old_file(store: BlobStore) -> None:
    store.put(SUBJECT, "a", b"old")
    with pytest.raises(ConnectionResetError):
        store.put(SUBJECT, "a", Interrupted())  # type: ignore[arg-type]
    with pytest.raises(ConnectionResetError):
        store.put(SUBJECT, "b", Interrupted())  # type: ignore[arg-type]
    assert store.get(SUBJECT, "a") == b"old"
    assert store.list(SUBJECT) == ["a"]
    assert store.delete_unfinished(SUBJECT) == 0


def test_another_process_sees_what_changed(store: BlobStore) -> None:
    with ThreadPoolExecutor(1) as other:
        # Drivers share what they remember within a thread only, so a thread stands for a process here.
        theirs = other.submit(BlobStore, store._files.url).result()
        context = contextvars.copy_context()

        def seen() -> tuple[list[str], bytes]:
            return other.submit(context.run, lambda: (theirs.list(SUBJECT), theirs.get(SUBJECT, "a"))).result()

        store.put(SUBJECT, "a", b"one")
        assert seen() == (["a"], b"one")
        store.put(SUBJECT, "a", b"another")
        store.put(SUBJECT, "b", b"")
        assert seen() == (["a", "b"], b"another")
        store.delete(SUBJECT, "b")
        assert seen() == (["a"], b"another")


def test_parts_are_read_and_a_file_replaced_meanwhile_is_not_mixed(bucket: str) -> None:
    store = BlobStore(f"{bucket}/parts")
    content = bytes(range(256)) * (40 << 10)
    store.put(SUBJECT, "a", content)
    with store.open(SUBJECT, "a") as file:
        file.seek(5_000_000)
        assert file.read(10) == content[5_000_000:5_000_010]
        store.put(SUBJECT, "a", content[::-1])
        file.seek(0)
        with pytest.raises(OSError, match="no longer exists"):
            file.read()
    assert store.get(SUBJECT, "a") == content[::-1]


def test_a_reader_beside_a_writer_gets_one_content_or_the_other(store: BlobStore) -> None:
    contents = [bytes([number]) * (1000 + number) for number in range(20)]
    store.put(SUBJECT, "a", contents[0])
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(BlobStore, store._files.url).result()
        written = ((theirs.put(SUBJECT, "a", each), theirs.get(SUBJECT, "a")) for each in contents)
        writing = other.submit(context.run, lambda: [got for _, got in written])
        while not writing.done():
            assert store.get(SUBJECT, "a") in contents
        assert writing.result() == contents
    assert store.get(SUBJECT, "a") == contents[-1]


def test_a_bucket_that_is_not_there_is_not_made(bucket: str) -> None:
    store = BlobStore(f"{bucket}-mistyped")
    with pytest.raises(FileNotFoundError):
        store.put(SUBJECT, "a", b"x")
    with pytest.raises(NotFound):
        store.get(SUBJECT, "a")


def test_the_settings_name_the_place(tmp_path: Path) -> None:
    store = blobs.store(Settings(service="docstore", keys=TEST_KEYRING, blob_url=f"file://{tmp_path}"))
    store.put(SUBJECT, "a", b"x")
    assert (tmp_path / "shop" / "customers" / "0192" / "a").read_bytes() == b"x"
    with pytest.raises(ConfigurationError, match="RAPPORT_BLOB_URL"):
        blobs.store(Settings(service="docstore", keys=TEST_KEYRING))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("gs://blobs", r"^RAPPORT_BLOB_URL: gs:// has no driver here \(.*gcsfs.*s3://"),
        ("az://blobs", r"^RAPPORT_BLOB_URL: az:// has no driver here \(.*adlfs.*s3://"),
        ("s4://blobs", "^RAPPORT_BLOB_URL: s4:// is no kind of address that is known"),
    ],
)
def test_an_address_without_a_driver_says_what_to_install(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        blobs.store(Settings(service="docstore", keys=TEST_KEYRING, blob_url=url))


def test_the_driver_is_loaded_for_its_own_addresses_only(tmp_path: Path) -> None:
    program = f"""
import sys
from docstore.blobs import BlobStore
assert "fsspec" not in sys.modules
BlobStore("file://{tmp_path}")
assert not {{"s3fs", "aiobotocore", "botocore", "aiohttp"}} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
