"""Role `serve`: the gRPC server."""

from rapport.scoring.v1 import scoring_service_pb2_grpc

import docstore
from chassis import server
from chassis.lifecycle import Stopping
from scoring.migrate import VERSION
from scoring.servicer import ScoringServicer
from scoring.settings import ScoringSettings


def serve(settings: ScoringSettings, stopping: Stopping) -> None:
    """Serve until told to stop; ready while the database answers and is new enough."""
    docstore.connect(settings)
    server.serve(
        settings,
        stopping,
        [(scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server, ScoringServicer())],
        ready=[docstore.ping, lambda: docstore.require_version(VERSION)],
    )
    docstore.disconnect()
