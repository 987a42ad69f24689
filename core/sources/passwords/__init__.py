"""Passwords as other systems store them."""
