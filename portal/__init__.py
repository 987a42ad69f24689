"""The pages in the browser: for customers, for staff and for admins."""
