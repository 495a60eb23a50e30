"""Pretraining that goes on with a domain's texts, before a task."""
