"""What admins look at and try out on a source; nothing of it is kept."""
