"""The commands of `python -m textxfer`: one file each, with `SUMMARY`, `add_arguments` and `execute`."""
