"""What clusters are called, for whoever asks for one."""

from collections.abc import Iterable

from chassis import inputs as fields
from scoring.domain import gates
from scoring.domain.conditions import CLUSTER, Condition, Score, singles
from scoring.store import Model
from scoring.store.models import CLUSTERS


def check_names(asked: Condition, field: str) -> None:
    """Raises InvalidArgument UNKNOWN_CLUSTER when conditions name a cluster that the last job did not give."""
    wanted = {each.value for each in singles(asked) if isinstance(each, Score) and each.name == CLUSTER and each.value}
    if not wanted:
        return
    champion = Model.in_state(gates.CHAMPION, CLUSTERS)
    known = list(champion.parameters["clusters"]["names"]) if champion else []
    unknown = sorted(str(name) for name in wanted - set(known))
    if unknown:
        there = f"there are {_quoted(known)}" if known else "there are none yet: start a scoring job of KIND_CLUSTERS"
        raise fields.refusal("UNKNOWN_CLUSTER", field, f"There is no cluster {_quoted(unknown)}; {there}.")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
