"""Small things every room needs: errors, texts, files, locks, memory."""
