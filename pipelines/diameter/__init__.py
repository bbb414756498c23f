"""Diameter: Gy/Ro credit control and Sy spending limits between octets and columns, and the peer that speaks it."""
