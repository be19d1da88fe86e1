"""Other people's weights, read into our networks: one file a source."""
