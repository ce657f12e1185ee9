"""Numbers of a result in, tables, pictures and text out; what draws and writes text changes no number."""
