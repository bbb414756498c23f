"""Coming from another system: what accounts bring along."""
