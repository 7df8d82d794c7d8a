"""Give a stored model to the servers that people run, in the folders and files that they read."""
