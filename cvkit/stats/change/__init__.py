"""What has changed: distances, tests and evidence over time."""
