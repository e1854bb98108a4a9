"""Pages for the people behind the data: reached by signed links, no sign-in, no JavaScript."""
