"""Journeys through the gateway on the running platform."""
