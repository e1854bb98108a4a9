"""Role `serve`: the gRPC server."""

from rapport.identity.v1 import identity_service_pb2_grpc

import docstore
from chassis import server
from chassis.lifecycle import Stopping
from identity.migrate import VERSION
from identity.servicer import IdentityServicer
from identity.settings import IdentitySettings


def serve(settings: IdentitySettings, stopping: Stopping) -> None:
    """Serve until told to stop; ready while the database answers and is new enough."""
    docstore.connect(settings)
    server.serve(
        settings,
        stopping,
        [(identity_service_pb2_grpc.add_IdentityServiceServicer_to_server, IdentityServicer(settings))],
        ready=lambda: docstore.require_version(VERSION),
    )
