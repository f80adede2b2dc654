"""What jobs take of this host: said before they run, admitted beside what runs, and counted while they run."""
