"""Predictions for encoded rows, and their scores."""
