"""One function for each command and query, called by the servicer, the handlers and the runner alike."""
