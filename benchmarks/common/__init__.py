"""What the benchmark programs share. Nothing here imports torch at module level: the parent process stays light."""
