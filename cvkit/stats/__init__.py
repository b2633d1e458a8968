"""Numbers only: arrays in, numbers out. No files, no pandas, no plots, no torch."""
