"""Stored send times as the messages callers see."""

from collections.abc import Mapping
from typing import Any

from rapport.scoring.v1 import customer_send_time_pb2

from scoring import messages
from scoring.store.models import SEND_TIME


def customer_send_time(row: Mapping[str, Any], planned: messages.Planned) -> customer_send_time_pb2.CustomerSendTime:
    """The send time of a stored row."""
    return customer_send_time_pb2.CustomerSendTime(
        name=f"{row['customer']}/sendTime",
        customer=row["customer"],
        best_hours=[
            # Days of the week are counted from Monday, 1.
            customer_send_time_pb2.SendHour(day_of_week=hour // 24 + 1, hour=hour % 24, probability=probability)
            for hour, probability in zip(row["ranking"], row["probabilities"], strict=False)
        ],
        time_zone=row["time_zone"],
        active_hour_count=row["active_hours"],
        reasons=row["reasons"],
        fallback=row["fallback"],
        model=f"models/{row['model']}",
        scoring_job=f"scoringJobs/{row['job']}",
        as_of=row["as_of"],
        decision=row["decision"],
        score_time=row["score_time"],
        age=messages.age(row["as_of"]),
        next_refresh_time=messages.next_refresh(SEND_TIME, row["as_of"], planned),
    )
