"""The state machine: carries out a plan, takes it back, and says what is true. Sees backends only by their contracts."""
