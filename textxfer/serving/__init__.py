"""Finished models at work."""
