"""The report of a run, or of several seeds: one HTML file, made from the run folder's files alone."""
