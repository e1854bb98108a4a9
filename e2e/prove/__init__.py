"""Breaks guarantees on purpose: `make prove`. A test that stays green without its guarantee proves nothing."""
