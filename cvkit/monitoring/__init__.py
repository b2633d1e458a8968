"""Chapter 1, monitor: tells whether the model still does its job."""
