"""The servers of a local platform, on loopback only, each with its data under one folder.

MongoDB and RabbitMQ can be stopped, killed and started again on the same folder and ports, the object store, which only
tests have, can be killed; several may run side by side, every port and node name is their own.
"""

from localrun.mailsink import MailSink
from localrun.mongod import Mongod
from localrun.object_store import ObjectStore
from localrun.rabbitmq import RabbitMQ
from localrun.readiness import NotReadyError
from localrun.tracesink import TraceSink

__all__ = ["MailSink", "Mongod", "NotReadyError", "ObjectStore", "RabbitMQ", "TraceSink"]
