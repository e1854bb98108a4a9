"""The rules of consent as plain functions and values; nothing here does I/O or imports beyond the standard library."""
