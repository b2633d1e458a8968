"""Chapter 2: what to do about what monitoring found."""
