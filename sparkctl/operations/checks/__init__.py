"""What a server must answer: the format of a check, the asking, the judging."""
