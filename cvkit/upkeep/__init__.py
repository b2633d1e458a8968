"""Upkeep of a workspace over years: archives of it (`archive`, `restore`), and a look at its health (`doctor`)."""
