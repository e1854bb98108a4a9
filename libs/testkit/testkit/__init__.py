"""What tests of services share: real servers, fresh databases and virtual hosts, role processes, waiting."""

from testkit.waiting import eventually

__all__ = ["eventually"]
