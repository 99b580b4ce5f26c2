"""SQL in, rehearsal, push-down, DuckDB, `Result` out. Names no connector.

`session.py` is the door; `statement.py` and `names.py` decide what a text may do, `engine.py`, `source.py`, `stage.py`
and `execution.py` run it, `result.py` is what the caller holds.
"""
