"""Customers, customer users, groups, permissions, staff and signing in."""
