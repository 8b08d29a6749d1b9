"""Amparo: casework software for those who protect children from sexual abuse online."""

__version__ = "0.1.0"
