"""Bytes of the outside world into arrays and tables: the only code that parses files from strangers."""
