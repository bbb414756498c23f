"""Accounts, live: asked and changed between runs and while a node serves."""
