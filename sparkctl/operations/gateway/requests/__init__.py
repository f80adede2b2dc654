"""Requests at the gateway: whose they are for, and what becomes of them."""
