"""The command: one file a verb, one dictionary of verbs, one place where an error is a line."""
