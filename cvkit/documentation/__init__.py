"""Chapter 3: reports, pages and cards."""
