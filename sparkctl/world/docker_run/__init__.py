"""The words of ``docker run``, read into a ContainerSpec and written from one."""
