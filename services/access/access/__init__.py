"""Tenants, principals, roles, keys and the tokens they are exchanged for."""
