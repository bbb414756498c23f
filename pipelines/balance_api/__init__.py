"""Balances over HTTP: TMF654 Prepay Balance Management, and the small REST that a shop or an app needs."""
