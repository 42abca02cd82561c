"""The `actr` command."""
