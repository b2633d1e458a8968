"""Chapter 1: does the model still do its job?"""
