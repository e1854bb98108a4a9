"""Rules of scoring as plain functions and values."""
