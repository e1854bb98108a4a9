"""Declared features and their values as the messages callers see."""

from collections.abc import Mapping
from typing import Any

from rapport.scoring.v1 import customer_features_pb2

from chassis import money
from scoring.features.declared import FEATURES, Value

_KINDS = {
    Value.COUNT: customer_features_pb2.Feature.KIND_COUNT,
    Value.MONEY: customer_features_pb2.Feature.KIND_MONEY,
    Value.DAYS: customer_features_pb2.Feature.KIND_DAYS,
    Value.RATIO: customer_features_pb2.Feature.KIND_RATIO,
}


def customer_features(told: Mapping[str, Any]) -> customer_features_pb2.CustomerFeatures:
    """What `usecases.customer_features` tells of a customer."""
    found = customer_features_pb2.CustomerFeatures(
        name=f"{told['customer']}/features",
        customer=told["customer"],
        as_of=told["as_of"],
        currency=told["currency"],
        decision=told["decision"],
    )
    unit = 10 ** (money.digits(told["currency"]) or 0)
    for feature in FEATURES:
        value = told["values"].get(feature.name)
        if value is not None and feature.value is Value.MONEY:
            value /= unit
        found.features.add(
            name=feature.name,
            kind=_KINDS[feature.value],
            value=value,
            window_days=feature.window.days,
            source_events=feature.sources,
            owner=feature.owner,
            personal=feature.personal,
            documentation=feature.documentation,
        )
    return found
