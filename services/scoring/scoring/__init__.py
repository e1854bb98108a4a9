"""Scoring: recency, frequency and monetary value, lifetime value and segments of every customer, with reasons."""
