"""What the access service does: one function per command, called by the servicer and by `migrate`."""
