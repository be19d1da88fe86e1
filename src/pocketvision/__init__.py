"""Small image networks: chosen, trained, costed, exported, measured, and proven equal."""

__version__ = "0.1.0"
