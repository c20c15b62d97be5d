"""The cache: values in Redis that cost something to compute."""
