"""Layers that take numbers, never specs."""
