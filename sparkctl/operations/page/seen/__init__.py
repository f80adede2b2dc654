"""The box as the page sees it: looked at again and again, and kept fresh."""
