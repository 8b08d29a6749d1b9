"""Readers of known-material lists, one module a format."""
