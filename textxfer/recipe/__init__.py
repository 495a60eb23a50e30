"""From a recipe's text to a typed, checked, frozen `Recipe`; imports neither torch nor transformers."""
