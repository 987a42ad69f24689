"""Reading mail: pure functions from bytes to values, total and bounded."""
