"""Who really sent a mail: what our relay found, or what we find ourselves, and what it proves."""
