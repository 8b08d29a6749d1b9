"""Tests of what is inside a file."""
