"""Accounts and customers that are called differently in their source than before."""
