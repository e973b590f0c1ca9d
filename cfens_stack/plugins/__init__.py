"""Bridges to other people's toolkits and files, one file each; import the file you need."""
