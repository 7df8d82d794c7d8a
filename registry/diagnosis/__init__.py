"""What a runtime's log means: what is wrong, in plain words, and what mends it."""
