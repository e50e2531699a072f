"""Documents, projects, and the files on disk below them."""
