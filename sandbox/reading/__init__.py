"""The user's files, as they are: Python, notebooks and notes, half-written and with last lines that train."""
