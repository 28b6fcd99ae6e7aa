"""EDGE: bytes in, bytes out. Knows protocols, knows nothing of plans, journals or repositories."""
