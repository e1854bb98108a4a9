"""Where a person can stand on a purpose and channel, and what moves them there.

| statement | nothing said | PENDING | GRANTED | REFUSED | WITHDRAWN | EXPIRED |
|---|---|---|---|---|---|---|
| REQUESTED | PENDING | PENDING | (1) | PENDING | PENDING | PENDING |
| GRANTED | GRANTED | GRANTED | GRANTED | GRANTED | GRANTED | GRANTED |
| REFUSED | REFUSED | REFUSED | WITHDRAWN | REFUSED | WITHDRAWN | REFUSED |
| WITHDRAWN | WITHDRAWN | WITHDRAWN | WITHDRAWN | WITHDRAWN | WITHDRAWN | WITHDRAWN |
| EXPIRED | - | EXPIRED | - | - | - | - |

(1) Only when the consent is void because the notice asks for renewal: a question must not undo a good answer.
A no is always possible (GDPR article 7 (3), article 21), also before anything was asked: that is an objection. A "no"
after a yes is a withdrawal, and a withdrawal is not softened to a refusal.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a person stands; the values are the contract's names."""

    NONE = "STATE_UNSPECIFIED"
    PENDING = "STATE_PENDING"
    GRANTED = "STATE_GRANTED"
    REFUSED = "STATE_REFUSED"
    WITHDRAWN = "STATE_WITHDRAWN"
    EXPIRED = "STATE_EXPIRED"


class Action(StrEnum):
    """What was said or happened; the values are the contract's names."""

    REQUESTED = "ACTION_REQUESTED"
    GRANTED = "ACTION_GRANTED"
    REFUSED = "ACTION_REFUSED"
    WITHDRAWN = "ACTION_WITHDRAWN"
    EXPIRED = "ACTION_EXPIRED"


class IllegalTransition(Exception):  # noqa: N818 - reads as what is the matter
    """The statement makes no sense where the person stands."""

    def __init__(self, state: State, action: Action) -> None:
        super().__init__(f"{action} is not possible in {state}")
        self.state = state
        self.action = action


def next_state(state: State, action: Action, *, void: bool = False) -> State:
    """Where the person stands after `action`.

    `void`: a grant stands but no longer counts, because a later notice asks for renewal. Raises IllegalTransition.
    """
    match action:
        case Action.WITHDRAWN:
            return State.WITHDRAWN
        case Action.GRANTED:
            return State.GRANTED
        case Action.REFUSED:
            return State.WITHDRAWN if state in (State.GRANTED, State.WITHDRAWN) else State.REFUSED
        case Action.REQUESTED if state is not State.GRANTED or void:
            return State.PENDING
        case Action.EXPIRED if state is State.PENDING:
            return State.EXPIRED
    raise IllegalTransition(state, action)
