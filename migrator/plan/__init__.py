"""The immutable artifact: what will be done, decided once, reviewed by people, carried out by ``engine``."""
