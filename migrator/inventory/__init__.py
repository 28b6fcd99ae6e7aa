"""Reads the repository, never the network: which stacks there are, which states they have, what names the source."""
