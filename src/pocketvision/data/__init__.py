"""Readers, checks, caches and augmentation of image data; a user's folder is never written to."""
