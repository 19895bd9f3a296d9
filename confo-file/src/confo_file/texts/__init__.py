"""Documents as people write them: read, and edited in their text, so that every line that is not edited stays."""
