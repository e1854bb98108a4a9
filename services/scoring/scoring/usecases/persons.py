"""What is known of customers, put together from profiles, aliases, objections and scores; a few queries for many."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from docstore import Row, aliases
from eventing import tombstones
from scoring.domain.consents import standing
from scoring.domain.happenings import Series
from scoring.domain.person import Person
from scoring.store import Objection, Profile, Score


@dataclass
class Persons:
    """Some customers with the profiles they belong to.

    canonicals: customer -> the one that stands for it. members: of each that stands for a profile, itself first.
    rows: profiles by customer; what is changed in them counts. scores: by the customer that stands for the profile.
    """

    canonicals: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    scores: dict[str, Row] = field(default_factory=dict)
    objecting: set[str] = field(default_factory=set)
    """Those that stand for a profile of which a member objects to profiling."""
    merged: set[str] = field(default_factory=set)
    """Those that customers here belong to, and that belong to others themselves: news of a merge are on their way."""

    @classmethod
    def load(cls, customers: Iterable[str], known: Mapping[str, Row] | None = None) -> "Persons":
        """Reads everything about these customers (resource names); the erased are left out.

        known: rows that need not be read.
        """
        found = cls()
        found_profiles = aliases.profiles(customers)
        gone = tombstones.erased({*found_profiles, *(canonical for canonical, _ in found_profiles.values())})
        for customer, (canonical, members) in found_profiles.items():
            if customer not in gone and canonical not in gone:
                found.canonicals[customer] = canonical
                found.members[canonical] = members
        if others := found.members.keys() - found.canonicals.keys():
            found.merged = {name for name, canonical in aliases.resolve(others).items() if name != canonical}
        names = {name for members in found.members.values() for name in members} | found.canonicals.keys()
        found.rows = {name: row for name, row in (known or {}).items() if name in names}
        missing = [_uid(name) for name in names if name not in found.rows]
        if missing:
            found.rows |= {row["customer"]: row for row in Profile.rows().find({"uid": {"$in": missing}})}
        uids = [_uid(name) for name in names]
        objected = {row["customer"] for row in Objection.rows().find({"uid": {"$in": uids}}, {"customer": 1})}
        found.objecting = {one for one, members in found.members.items() if not objected.isdisjoint(members)}
        canonical_uids = [_uid(name) for name in found.members]
        found.scores = {row["customer"]: row for row in Score.rows().find({"uid": {"$in": canonical_uids}})}
        return found

    def stands(self, customer: str) -> bool:
        """Whether the customer stands for a profile. Of some only the rows are here: they are members of others."""
        itself = self.canonicals.get(customer, customer) == customer
        return itself and customer in self.members and customer not in self.merged

    def belongs(self, customer: str) -> bool:
        """Whether the customer may be in segments at all."""
        row = self.rows.get(customer)
        deleted = row is not None and row.get("deleted")
        return self.stands(customer) and customer not in self.objecting and not deleted

    def person(self, canonical: str, now: int, inside: Iterable[str] = ()) -> Person:
        """What is known of the profile that a customer stands for. now: milliseconds since 1970."""
        rows = [self.rows[name] for name in self.members[canonical] if name in self.rows]
        own = self.rows.get(canonical, {})
        series: dict[str, list[Series]] = {}
        for row in rows:
            for each in row.get("series", ()):
                series.setdefault(each["e"], []).append(each)
        return Person(
            now=now,
            traits=dict(own.get("traits", ())),
            scores=scores_of(self.scores.get(canonical)),
            series=series,
            consents=standing(statement for row in rows for statement in row.get("consents", ())),
            inside=set(inside),
        )


def scores_of(row: Row | None) -> dict[str, Any] | None:
    """Stored scores by the names conditions have for them; amounts in minor units."""
    if row is None:
        return None
    names = ("currency", "p_alive", "expected_purchases", "recency_weeks", "age_weeks", "frequency", "purchases")
    return {
        **{name: row.get(name) for name in names},
        "lifetime_value": row.get("lifetime_value_minor"),
        "revenue": row.get("revenue_minor"),
        "rfm_segment": row.get("rfm", {}).get("segment"),
        "churn_risk": row.get("churn", {}).get("probability"),
        "cluster": row.get("cluster", {}).get("name"),
        "usage": row.get("usage", {}).get("state"),
        "renewal_probability": row.get("renewal", {}).get("probability"),
        "response_probability": row.get("response", {}).get("probability"),
    }


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
