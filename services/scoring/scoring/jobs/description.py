"""What the registry is told of the model that a job made (`usecases.models`): the job program's model.json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from scoring.domain.gates import Verdict

Told = dict[str, Any]


class Named(Protocol):
    """A model of an earlier job."""

    @property
    def name(self) -> str:
        """Its resource name."""


KnownT = TypeVar("KnownT", bound=Named)


@dataclass(frozen=True)
class Watched(Generic[KnownT]):
    """What became of the models there were. champion: who told customers so far; standing: who does unless something
    better is found. As it is unless said: nothing is held against what happens, since each job makes its own model.
    """

    outcomes: tuple[Told, ...] = ()
    drifts: tuple[Told, ...] = ()
    falls: bool = False
    message: str = ""
    champion: KnownT | None = None
    standing: KnownT | None = None

    def told(self) -> Told:
        """As the registry reads it."""
        return {
            "champion": self.champion.name if self.champion else "",
            "standing": self.standing.name if self.standing else "",
            "rollback": {"falls": self.falls, "message": self.message},
            "outcomes": self.outcomes,
            "drifts": self.drifts,
        }


def judgement(
    verdict: Verdict,
    features: Mapping[str, int],
    consenting: float | None,
    *,
    test: Mapping[str, Any],
    watched: Watched[Any] | None = None,
) -> Told:
    """What becomes of the model, and of those before it. features: name -> version; test: how it did."""
    return {
        "candidate": verdict.to_dict(),
        "test": test,
        **(watched or Watched()).told(),
        "features": features,
        "consenting": consenting,
    }


def stand_in(
    instead: str,
    messages: Iterable[str],
    *,
    parameters: Told,
    metrics: Told | None = None,
    artefact: Told | None = None,
    artefact_file: str | None = None,
) -> Told:
    """What tells customers where the model did not pass, for `judgement`. instead: what they are told, in words.

    artefact, artefact_file: the whole of it, or the file that holds it.
    """
    whole = {"artefact": artefact} if artefact is not None else {"artefact_file": artefact_file}
    message = "; ".join([instead, *messages])
    return {"parameters": parameters, "metrics": metrics or {}, "message": message, **whole}


def described(
    tenant: str,
    as_of: datetime,
    version: str,
    judgement: Told,
    messages: Iterable[str],
    *,
    window: tuple[str | None, str | None],
    customers: int,
    purchases: int,
    parameters: Told,
    metrics: Told,
    currency: str | None = None,
) -> Told:
    """The whole. version: fingerprint of all it was made of; window: the first and the last instant learned from."""
    return {
        "tenant": tenant,
        "version": version,
        "as_of": as_of.astimezone(UTC).isoformat(),
        "currency": currency,
        "window_start": window[0],
        "window_end": window[1],
        "customers": customers,
        "purchases": purchases,
        "parameters": parameters,
        "metrics": metrics,
        "fallback": False,
        "message": "; ".join(messages),
        "judgement": judgement,
    }
