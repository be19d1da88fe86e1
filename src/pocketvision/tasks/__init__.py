"""What a head is for: one file a task, each with its decoding and its metric."""
