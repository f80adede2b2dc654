"""The page of the box: values, HTML made of them, one stream that keeps it fresh, and the buttons."""
