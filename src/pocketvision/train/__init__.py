"""Fitting a network to data: what a run is told, its steps, its checkpoints, what it writes."""
