"""What goes with a model when others get it."""
