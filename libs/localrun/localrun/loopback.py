"""The loopback addresses of one platform: 127.0.1.x, or another 127.0.n.x beside a platform that has those."""

import socket

from localrun.ports import listening

NETWORKS = 16
_CLAIM_PORT = 18254


class Loopback:
    """The addresses 127.0.<network>.x. A claimed network is held until this process ends."""

    def __init__(self, network: int = 1, claim: socket.socket | None = None) -> None:
        self.prefix = f"127.0.{network}."
        self._claim = claim
        self.mail_host, self.mail_smtp_port, self.mail_http_port = f"{self.prefix}4", 2525, 8025
        self.trace_host, self.trace_port = f"{self.prefix}5", 4318

    @classmethod
    def claim(cls) -> "Loopback":
        """The first network no other platform has. Raises OSError if there is none."""
        for network in range(1, NETWORKS + 1):
            found = cls(network)
            claim = socket.socket()
            try:
                claim.bind((f"{found.prefix}254", _CLAIM_PORT))
                claim.listen(1)
            except OSError:
                claim.close()
                continue
            # What a killed supervisor left behind still listens, though its claim is gone.
            if not listening(found.mail_host, found.mail_http_port):
                return cls(network, claim)
            claim.close()
        raise OSError(f"{NETWORKS} platforms are running on this machine already")

    def own(self, text: str) -> str:
        """`text` with the addresses the local values name (127.0.1.x) as addresses of this network."""
        return text.replace("127.0.1.", self.prefix)

    @property
    def mail_url(self) -> str:
        """Page and JSON of the mail sink."""
        return f"http://{self.mail_host}:{self.mail_http_port}"

    @property
    def trace_url(self) -> str:
        """OTLP endpoint, page and JSON of the trace sink."""
        return f"http://{self.trace_host}:{self.trace_port}"
