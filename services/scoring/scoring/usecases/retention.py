"""How long events are kept (GDPR article 5(1)(e)): those that are too old leave the files, and what was made of them.

Purchases, refunds, lines and what happened to contracts are kept for `RAPPORT_PURCHASES_KEPT_DAYS`, other activity for
`happenings.KEPT_DAYS`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import docstore
from chassis import clock, ids
from docstore import Row
from docstore.blobs import BlobStore
from scoring import parquet, rewritten_parquet
from scoring.domain.happenings import KEPT_DAYS
from scoring.domain.histories import DAY_MS
from scoring.settings import ScoringSettings
from scoring.store import FeatureManifest, histories
from scoring.store.features import ACTIVITY, FILE_KINDS, PURCHASES, manifest_files, subject_of
from scoring.usecases import flushing

SLACK = timedelta(days=30)
"""Files are written anew without what is too old once they hold something that much older."""
_AT_ONCE = 16
"""Files that are looked into or written anew in one go."""
_CHUNK, _CHUNKS_AT_ONCE = 1_000, 100
"""Histories that are forgotten by one write, and how many times in one go."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def kept_from(kind: str, settings: ScoringSettings) -> datetime:
    """What happened before is not kept in files of that kind."""
    days = KEPT_DAYS if kind == ACTIVITY else settings.purchases_kept_days
    return clock.now() - timedelta(days=days)


def retire(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Takes events that are too old out of files of the current tenant, some files at a time; returns of how many.

    What scoring online keeps of purchases before goes thereafter, and is read from the files again.
    """
    written = sum(_retire(kind, settings, blobs) for kind in FILE_KINDS)
    _forget()
    return written


def _retire(kind: str, settings: ScoringSettings, blobs: BlobStore) -> int:
    begin = kept_from(kind, settings)
    if not _due(manifest_files(kind), begin):
        return 0
    with flushing.writing(settings) as leased:
        if leased is None:
            return 0
        changed = flushing.heads(leased)
        due = _due(changed[kind].files, begin)[:_AT_ONCE]
        names = {file["name"] for file in due}
        files = [file for file in changed[kind].files if file["name"] not in names]
        written = 0
        for file in due:
            if not flushing.goes_on_writing(leased):
                return 0
            subject = subject_of(file["bucket"], kind)
            with blobs.open(subject, file["name"]) as opened:
                oldest = file.get("oldest") or parquet.oldest(opened)
                if oldest >= begin - SLACK:
                    files.append({**file, "oldest": oldest})
                    continue
                opened.seek(0)
                kept = rewritten_parquet.since(opened, begin)
            written += 1
            if kept.rows:
                name = f"{ids.uuid7()}.parquet"
                blobs.put(subject, name, kept.content)
                told: dict[str, Any] = {"currencies": kept.currencies} if kind == PURCHASES else {}
                files.append({**file, "name": name, "rows": kept.rows, "oldest": kept.oldest, **told})
        changed[kind].files = files

        def commit() -> None:
            # What is named no more is deleted as any file that is: when no job may read it.
            flushing.switch(leased, changed)
            if kind == PURCHASES and written:
                day = (begin - _EPOCH) // timedelta(milliseconds=DAY_MS)
                FeatureManifest.rows().update_one({"uid": kind}, {"$set": {"forget_before": day}})

        docstore.in_transaction(commit)
    return written


def _forget() -> None:
    """Has histories forgotten that the files are ahead of, as many as one turn takes; the next one goes on."""
    manifests = FeatureManifest.rows()
    marked = manifests.find_one({"uid": PURCHASES, "forget_before": {"$exists": True}}, {"forget_before": 1})
    if marked is None:
        return
    day = marked["forget_before"]
    for _ in range(_CHUNKS_AT_ONCE):
        if histories.forget_before(day, _CHUNK) < _CHUNK:
            manifests.update_one({"uid": PURCHASES, "forget_before": day}, {"$unset": {"forget_before": ""}})
            return


def _due(files: list[Row], begin: datetime) -> list[Row]:
    """Those that hold something too old, and those of before it was noted what they hold."""
    return [file for file in files if "oldest" not in file or file["oldest"] < begin - SLACK]
