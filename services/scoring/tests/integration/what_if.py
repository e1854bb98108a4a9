"""What-if questions, as role `run` answers them, and what stored scores were made of."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow.parquet as pq

from docstore.blobs import BlobStore
from scoring.models.classifier import Column
from scoring.runner import ANSWERS
from scoring.settings import ScoringSettings
from scoring.usecases import evaluations
from testkit import eventually

from .conftest import Client


def asked(
    client: Client, settings: ScoringSettings, store: BlobStore, method: str, refused: bool = False, **fields: Any
) -> Any:
    """What a method is answered, or how it is refused."""
    with ThreadPoolExecutor(1) as pool:
        if refused:
            answer = pool.submit(client.refused, method, **fields)
        else:
            answer = pool.submit(getattr(client, method), **fields)
        eventually(lambda: evaluations.answer_due(settings, store, ANSWERS) or answer.done(), 10)
        return answer.result()


def features_of(client: Client, store: BlobStore, job: str, name: str, columns: Sequence[Column]) -> dict[str, float]:
    """What a probability was made of, from the files of its job."""
    with client.context():
        subject = f"{job}/result"
        for file in store.list(subject):
            if file.startswith("scores-"):
                with store.open(subject, file) as opened:
                    rows = {row.pop("customer"): row for row in pq.read_table(opened).to_pylist()}
                if name in rows:
                    return {column.name: rows[name][column.name] for column in columns}
    raise AssertionError(name)
