"""The demo: a year of flights through the one-machine stack. Not part of the installed package."""
