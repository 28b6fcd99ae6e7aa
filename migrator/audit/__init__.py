"""Who is the authority, by surface: what the files prove, what they only declare, and where they contradict each other."""
