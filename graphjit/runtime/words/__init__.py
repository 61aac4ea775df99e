"""Order of the words in the tables that Python fills in and native code reads.

One module for each kind of table: its names are the positions, `WORDS` their number.
"""
