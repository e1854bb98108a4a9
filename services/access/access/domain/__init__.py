"""The rules of the access service as plain functions and values."""
