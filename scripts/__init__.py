"""Scripts of this project, run from its root: the build of the function, the sample events."""
