"""The service by itself: nobody asks consent here, and the clock can be moved."""

from collections.abc import Iterator

import grpc
import pytest
from rapport.scoring.v1 import scoring_service_pb2_grpc

from chassis import server
from scoring.servicer import ScoringServicer
from scoring.settings import ScoringSettings


@pytest.fixture(scope="module")
def settings(database: ScoringSettings, tmp_path_factory: pytest.TempPathFactory) -> ScoringSettings:
    return database.model_copy(update={"clock_file": tmp_path_factory.mktemp("clock") / "offset.json"})


@pytest.fixture(scope="module")
def channels(settings: ScoringSettings) -> Iterator[tuple[grpc.Channel, grpc.Channel]]:
    servicers = [(scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server, ScoringServicer())]
    with server.in_process(settings, servicers) as target, grpc.insecure_channel(target) as scoring:
        yield scoring, scoring
