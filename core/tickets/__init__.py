"""Tickets and their articles: lists, views, search and what staff do with them."""
