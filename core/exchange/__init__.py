"""Customers and customer users as CSV files: read, compared with what is stored, brought about."""
