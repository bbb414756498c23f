"""A whole home copied while it is served, and made anew elsewhere: see `save`.

What names something is taken before what it names, so that a copy never lacks what it speaks of; what its owner removes
in the meantime is kept from going by a further name (`pinned`). A backup exists once its manifest does, which is last.
"""
