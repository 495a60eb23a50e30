"""From raw rows to batches: choosing columns, checking, cutting splits, tokenising, batching."""
