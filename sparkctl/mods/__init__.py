"""Files laid over an image's files: declared, fetched, staged, and judged on disk, in images and in containers."""
