"""Models of purchase behaviour: pure functions over numpy arrays, shared by jobs and serving. No I/O."""
