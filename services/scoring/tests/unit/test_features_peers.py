"""What the features are held against in benchmarks tells the same ones."""

import pytest

from scoring.benchmarks import features_peers, scale_features
from scoring.benchmarks.purchases import Shop


@pytest.mark.parametrize("peer", [features_peers.with_duckdb, features_peers.with_polars])
def test_a_peer_tells_each_declared_feature_to_the_last_bit(peer, tmp_path) -> None:
    shop, target, of_peer = str(tmp_path / "shop"), str(tmp_path / "features"), str(tmp_path / "features.parquet")
    Shop(60, 600).write_partitions(tmp_path / "shop")
    assert scale_features.ours(shop, target, "1") > 30
    peer(shop, of_peer)
    assert scale_features.different(target, of_peer) == 0
