"""File formats: bytes of a network file to DECODED cells. Layouts are files; each family has one interpreter."""
