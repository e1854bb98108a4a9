"""Kill -9 under load: what was acknowledged is there exactly once, in every service that consumes its events."""
