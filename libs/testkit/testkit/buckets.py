"""A real object store for tests: buckets that s3:// addresses name, found by the environment as in an installation."""

from collections.abc import Iterator

import pytest

from localrun.servers import ObjectStore


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A running SeaweedFS, which AWS_ENDPOINT_URL_S3 and the like name to this process and those it starts."""
    server = ObjectStore(tmp_path_factory.mktemp("objects"))
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", server.key)
        environment.setenv("AWS_SECRET_ACCESS_KEY", server.secret)
        environment.setenv("AWS_REGION", "us-east-1")
        try:
            server.wait_ready()
            yield server
        finally:
            server.kill()  # nobody needs its data any more


@pytest.fixture(scope="module")
def bucket(object_store: ObjectStore, request: pytest.FixtureRequest) -> str:
    """Address of a bucket of the module's own, `s3://...`."""
    # Here: most tests have no objects, and it takes long to load.
    import fsspec

    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    fsspec.filesystem("s3", endpoint_url=object_store.endpoint, skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"
