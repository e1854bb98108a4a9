"""Tests that search everything a platform holds: they share one, and nobody else writes to it."""
