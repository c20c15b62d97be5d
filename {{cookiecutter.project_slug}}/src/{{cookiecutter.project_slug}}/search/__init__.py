"""Vector search: documents with embeddings, and queries for the nearest ones."""
