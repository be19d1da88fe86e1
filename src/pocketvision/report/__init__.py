"""Evidence of a run: plots as files and one self-contained HTML page, read from the run folder."""
