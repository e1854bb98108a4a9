"""The rules of selling; the standard library only."""
