"""Features of customers: declared once, computed of one customer from what has come in, and in bulk from files."""
