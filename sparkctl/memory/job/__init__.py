"""What a job that quantizes takes and makes: its peak of memory, and the bytes of its product. Pure."""
