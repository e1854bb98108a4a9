"""Role `serve`: the gRPC server."""

from rapport.access.v1 import access_service_pb2_grpc

import docstore
from access.migrate import MIGRATIONS
from access.servicer import AccessServicer
from access.settings import Settings
from chassis import server
from chassis.lifecycle import Stopping


def serve(settings: Settings, stopping: Stopping) -> None:
    """Serves until it is told to stop."""
    docstore.connect(settings)
    server.serve(settings, stopping, servicers(settings), ready=lambda: docstore.require_version(len(MIGRATIONS)))


def servicers(settings: Settings) -> server.Servicers:
    """What the server serves; tests serve the same."""
    return [(access_service_pb2_grpc.add_AccessServiceServicer_to_server, AccessServicer(settings))]
