"""How results look: text for people, JSON for programs. Reporters never decide anything."""
