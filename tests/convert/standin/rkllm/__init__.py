"""A stand-in for the vendor's toolkit; see `api`."""
