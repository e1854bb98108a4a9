"""Scores and risks of customers by what they have bought so far, by the very functions of the job programs."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import pymongo.errors

from chassis import money
from chassis.errors import RapportError
from docstore import Row
from docstore.blobs import BlobStore
from scoring.decisions import Decision
from scoring.domain import churn_rules
from scoring.domain.histories import DAY_MS, Convert, History
from scoring.usecases import histories, loaded_models, risk_rows, score_rows

if TYPE_CHECKING:
    from scoring.models.churn import Customers

_UNTOLD = "risks of leaving of one tenant cannot be told"

logger = logging.getLogger(__name__)


def scores(
    bought: Mapping[str, History], scorer: Row, convert: Convert, now: datetime, decided: Mapping[str, Decision]
) -> dict[str, Row]:
    """Scores of lifetime value of those of the customers who have bought something that counts, and of whom they can be
    told.

    bought: by customer, of whole profiles. convert: to the currency of the `store.Scorer`.
    """
    told = {name: history.converted(convert) for name, history in bought.items() if history.can_be_told}
    told = {name: history for name, history in told.items() if history.days}
    if not told:
        return {}
    import numpy as np

    from scoring.models import artefact, scorecard

    basis = scorecard.restored(artefact.load(scorer["choice"]), scorer["scales"])
    columns = [history.columns for history in told.values()]
    of = {name: np.array([each[name] for each in columns], dtype=np.int64) for name in scorecard.COLUMNS}
    rows = scorecard.rows(list(told), of, basis, histories.milliseconds(now) // DAY_MS)
    origin = score_rows.origin(scorer, now)
    return {row["customer"]: score_rows.values(row, origin, decided[row["customer"]].name) for row in rows}


def risks(
    bought: Mapping[str, History],
    scorer: Row,
    convert: Convert,
    now: datetime,
    decided: Mapping[str, Decision],
    blobs: BlobStore,
) -> dict[str, Row | None] | None:
    """Risks of leaving of the customers whose purchases of the last year are known; None of whom bought nothing then.

    convert: to the currency of the `store.RiskScorer`. Nothing where its model cannot be read, is not kept whole any
    more, or is of features that are declared otherwise now: that is logged, and the other scores do not wait for it.
    None of all where the model can be asked for again, as when the blob store did not answer.
    """
    known = {name: history for name, history in bought.items() if history.recent is not None}
    try:
        model = loaded_models.left(scorer, churn_rules.VERSIONS, blobs) if known else None
    except pymongo.errors.PyMongoError:
        raise
    except RapportError:
        logger.exception(_UNTOLD)
        return {}
    except Exception as error:  # noqa: BLE001 - each kind of store fails by errors of its own
        logger.warning("risks of leaving of one tenant wait for their model: %s", type(error).__name__)
        return None
    if model is None:
        if known:
            logger.warning("%s: its model is not kept whole, or features are declared otherwise since", _UNTOLD)
        return {}
    import numpy as np

    from scoring.models import churn

    at = histories.milliseconds(now) * 1_000
    customers = _customers(known, convert, money.digits(scorer["currency"]) or 0)
    codes = customers.active(at)
    found: dict[str, Row | None] = dict.fromkeys(known)
    if not len(codes):
        return found
    table = customers.table(at, codes)
    columns = {feature: of for feature, of in table.values.items() if isinstance(of, np.ndarray)}
    try:
        told = churn.told(model, table)
    except Exception:
        logger.exception(_UNTOLD)
        return {}
    origin = risk_rows.origin(scorer, now)
    names = list(known)
    for place, code in enumerate(codes.tolist()):
        name = names[code]
        row = {"customer": name, **{column: values[place] for column, values in told.items()}}
        made_of = {feature: float(of[place]) for feature, of in columns.items()}
        found[name] = risk_rows.values(row, origin, decided[name].name, made_of)
    return found


def _customers(known: Mapping[str, History], convert: Convert, digits: int) -> "Customers":
    """As the job program has them; amounts without a rate are left out, and refunds that it makes nothing of."""
    import numpy as np

    from scoring.features.declared import PURCHASE
    from scoring.features.table import Events
    from scoring.models.churn import Customers
    from scoring.models.name_hashes import hashed

    rows = []
    for code, history in enumerate(known.values()):
        for each in history.recent or ():
            amount = convert(each.amount, each.currency, each.time * 1_000)
            if amount is not None and (amount or each.amount >= 0):
                rows.append((code, each.time * 1_000, amount, each.order))
    customer, time, amounts, order = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    events = Events(customer, np.full(len(rows), PURCHASE, dtype=np.int8), time, amounts, order)
    return Customers(hashed(known), events, digits)
