"""Customer data that is kept elsewhere: read where it is, and mirrored into our tables."""
