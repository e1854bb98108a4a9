"""The rules of identity: identifiers, resolution, merges, folding. Standard library only."""
