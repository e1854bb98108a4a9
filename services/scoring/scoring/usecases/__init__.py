"""What the scoring service does: one module for each thing it is about."""
