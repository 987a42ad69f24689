"""``schalter apply``: bring an organisation to what a file says."""
