"""Which artifacts exist, and how we know."""
