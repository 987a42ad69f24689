"""Rules that an admin makes for mail, between who it is from and what they may do."""
