"""Documents with their vectors, and how those nearest to a question are found."""
