"""The contracts of the platform: Python stubs, one descriptor set, and what the protos say about each method."""
