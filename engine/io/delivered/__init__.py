"""Files in: found, recognised, cut into parts and read, canonical or by a layout.

``deliveries`` finds the files of a role; ``opening`` recognises how each is written; a CSV, Parquet
or laid-out file gives parts that are read on all cores (``role_files``). What comes out are
``rows``: valid ones as typed columns, faulty ones with their numbers and every fault.
"""
