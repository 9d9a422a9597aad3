"""What every room stands on: errors, storage, seeds, names and command lines; knows no other."""
