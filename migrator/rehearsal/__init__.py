"""Rehearsals: the whole story on copies and embedded servers. Nothing outside a temporary directory is touched."""
