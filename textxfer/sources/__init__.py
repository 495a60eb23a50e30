"""Sources: where rows come from. A source's `load()` gives `Splits` with the columns as they stand in the data."""
