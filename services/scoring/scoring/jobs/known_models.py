"""Models of earlier jobs, as they were stored."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from scoring.jobs.files import opened
from scoring.jobs.spec import KnownModel
from scoring.jobs.tasks import UnusableInputError
from scoring.models import artefact
from scoring.models.lifetime_value import Choice


class LostModelError(UnusableInputError):
    """The file of a model is gone, or is not what was stored."""


@dataclass(frozen=True)
class Known:
    """A model of an earlier job, as stored."""

    name: str
    role: str
    choice: Choice
    stored: dict[str, Any]

    @property
    def day(self) -> int:
        """Until when it knew purchases."""
        return int(self.stored["as_of_day"])

    def promised(self, days: int) -> float | None:
        """Its error so many days ahead, as measured before it was promoted; None when it could not be tested."""
        error = self.stored["promised"].get(str(days))
        return None if error is None else float(error)


def load(model: KnownModel) -> Known:
    """The model. Raises UnusableInputError when it is not what was stored."""
    stored = stored_form(model)
    try:
        return Known(model.name, model.role, artefact.load(stored["choice"]), stored)
    except ValueError as error:
        raise UnusableInputError(f"{model.name}: {error}") from error


def stored_form(model: KnownModel) -> dict[str, Any]:
    """What was kept of a model. Raises LostModelError, UnusableInputError when it cannot be read now."""
    stored: dict[str, Any] = json.loads(body(model))
    return stored


def body(model: KnownModel) -> bytes:
    """The file a model was kept in. Raises LostModelError, UnusableInputError when it cannot be read now."""
    try:
        with opened(model.url) as file:
            found = file.read()
    except OSError as error:
        kind = LostModelError if isinstance(error, FileNotFoundError) else UnusableInputError
        raise kind(f"{model.name}: its stored form cannot be read: {type(error).__name__}") from error
    if sha256(found).hexdigest() != model.sha256:
        raise LostModelError(f"{model.name}: its stored form is not what was stored; roll back or promote another")
    return found
