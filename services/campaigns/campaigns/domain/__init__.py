"""The rules of the service: plain functions and values."""
