"""A fleet and its studies: the process of a host, and a study on several devices."""
