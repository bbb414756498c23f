"""The vocabulary. Imported before anything else of the house, so that it can say how memory is asked for."""

import os

# NumPy asks for huge pages for large arrays; a batch's columns are smaller than such a page, and clearing what is not
# used costs more than the pages save. The balance book asks for its own.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
