"""What identity can do: one function for each command or query, called by servicer, handlers and runner alike."""
