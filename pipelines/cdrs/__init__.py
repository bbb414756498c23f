"""CDRs of our own: what was charged online, as CHF records in files that other systems read."""
