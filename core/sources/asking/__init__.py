"""Asking sources while mail or a person waits: deadlines, breakers, a short memory."""
