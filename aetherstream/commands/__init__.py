"""The commands of the `aetherstream` command line; each module is imported when its command is called."""
