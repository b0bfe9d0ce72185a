"""Stores: where records, artefacts and settings are kept. A store does not know who uses it.

What belongs here: reading and writing what other rooms hold as values. What does not: what the values mean.

    task_log       the task log in a database; log_schema: its tables; migrations: how older ones become these
    database       whole transactions, bounded waits, faults; engines: what differs between databases; columns: rows as arrays
    mysql          the engine of a server; mysql_rows: its fast ways in and out, by mysql_binary: its protocol of numbers
    log_writer     records on their way there, in a thread; spool: on disk while the database is away
    log_files      task logs as Parquet files
    artefacts      models, logs and figures with a manifest
    coordination   who is there, and what they are to use; http_coordinator: the controller's, as others reach it
    nacos          the same on servers of Nacos; nacos_sdk, nacos_lines: by connections or questions; nacos_http: what the
                   servers say; nacos_keeper: stays registered; nacos_watches: tells of changes; nacos_url: where they are
    disk           files that are whole or not there
"""
