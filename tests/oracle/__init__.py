"""Slow, obvious reference implementations that share no code with the product."""
