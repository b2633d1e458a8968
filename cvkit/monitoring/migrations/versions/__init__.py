"""One script for each schema; `revision` is its number."""
