"""The base of every package: errors, storage, seeds, names, command lines; it imports no other."""
