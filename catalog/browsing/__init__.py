"""The catalog as a page that people look at: what a board can run, and how well."""
