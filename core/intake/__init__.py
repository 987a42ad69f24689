"""The way of a message: facts, rules, decision, record; ``take_in`` is its unit of work."""
