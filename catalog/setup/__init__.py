"""Set-ups: which models boards are to have, as one file says; locked, and brought about."""
