"""From .proto files to Python: tables and types for what `actrzmq.runtime` does at run time."""
