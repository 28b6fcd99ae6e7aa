"""EDGE (local disk): what happened, durably, before and after every effect."""
