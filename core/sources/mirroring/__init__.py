"""Bringing records into our tables: batch by batch, and all of a source in a pass."""
