"""From a recipe to trained weights: assembling, the loop, resuming, watching."""
