"""Jobs: built, admitted, run, and what they made checked, as use cases over the ports."""
