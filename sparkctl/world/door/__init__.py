"""The door: HTTP with clients and with servers, by aiohttp, which nothing else imports."""
