"""One service over several hosts: started, watched, and stopped as one."""
