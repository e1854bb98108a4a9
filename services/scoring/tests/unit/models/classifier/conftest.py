"""Customers of whom the true chance to leave is known."""

from dataclasses import dataclass

import numpy as np
import pytest

from scoring.models.classifier import Column, Kind, Table, Training, train

COLUMNS = [
    Column("tenure", Kind.NUMERIC, "Tenure in months"),
    Column("charge", Kind.NUMERIC, "Monthly charge"),
    Column("contract", Kind.CATEGORY, "Contract"),
    Column("city", Kind.CATEGORY, "City", personal=True),
    Column("automatic", Kind.BOOLEAN, "Automatic payment"),
]


@dataclass(frozen=True)
class Customers:
    table: Table
    labels: np.ndarray
    chance: np.ndarray


def generated(rows: int, seed: int) -> Customers:
    random = np.random.default_rng(seed)
    tenure = random.exponential(20, rows)
    charge = random.normal(60, 20, rows)
    charge[random.random(rows) < 0.1] = np.nan
    contract = random.choice(["monthly", "yearly", "two years"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    contract[random.random(rows) < 0.05] = None
    city = [f"city-{number}" for number in random.integers(0, 60, rows)]
    automatic = random.random(rows) < 0.4
    log_odds = -1.0 - 0.04 * tenure + 0.015 * (np.nan_to_num(charge, nan=60) - 60) + 0.5 * automatic
    log_odds += np.select([contract == "monthly", contract == "yearly"], [1.0, -0.2], -0.8)
    chance = 1 / (1 + np.exp(-log_odds))
    values = {"tenure": tenure, "charge": charge, "contract": contract, "city": city, "automatic": automatic}
    ids = [f"customer-{seed}-{row}" for row in range(rows)]
    return Customers(Table.of(COLUMNS, values, ids), (random.random(rows) < chance).astype(int), chance)


@pytest.fixture(scope="session")
def customers() -> Customers:
    return generated(1_500, 1)


@pytest.fixture(scope="session")
def others() -> Customers:
    """Customers nobody trained on."""
    return generated(10_000, 2)


@pytest.fixture(scope="session")
def training(customers) -> Training:
    return train(customers.table, customers.labels)
