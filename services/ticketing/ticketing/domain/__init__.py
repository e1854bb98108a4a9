"""Rules as plain functions and values; the standard library only."""
