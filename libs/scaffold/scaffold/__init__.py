"""Writes a new service in the shape of the others and connects it: `make new-service N=loyalty R=program`."""
