"""PURE: text -> spans -> edits -> text. Locates with parsers, splices the original text, re-serialises nothing."""
