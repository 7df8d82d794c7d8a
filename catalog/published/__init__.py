"""Catalogs that people share: published as plain signed files, taken in by other machines."""
