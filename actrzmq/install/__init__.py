"""Contracts of other services in this project: fetched from the broker, kept below `protos/remote/`, locked.

`resolve` decides what has to be asked and what follows from the answers, `verify` whether an answer may be
believed, `transaction` puts it in place, all or nothing. `project` is the order in which these are used.
"""
