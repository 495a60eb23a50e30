"""Checkpoints, their architectures, freezing and saving."""
