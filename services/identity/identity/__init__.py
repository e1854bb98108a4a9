"""Identity: customers, how they are known, which of them are one person, and what happened with them."""
