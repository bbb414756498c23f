"""How large a sample operator may be: here alone, for its makers and the command line."""

MIN_SUBSCRIBERS, MAX_SUBSCRIBERS = 20, 40_000_000
