"""PURE: what a state document is, and how two of them relate."""
