"""What an artifact is, whether it fits a board, and how to get it."""
