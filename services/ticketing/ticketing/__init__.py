"""Requests of customers: who works on them, until when, and what was said."""
