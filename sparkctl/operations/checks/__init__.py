"""Checks of a server's answers: the format of a check, the requests, the judgement."""
