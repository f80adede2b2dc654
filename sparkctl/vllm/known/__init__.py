"""Facts about flags beyond their choices: what they do, known problems on a GB10, and changed defaults."""
