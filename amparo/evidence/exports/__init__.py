"""Standard formats written from a package's tables, one module a format."""
