"""What the model saw and said: files to tables, images to numbers."""
