"""Headgate's tables: schema, migrations and clients, shared by collector and reports."""

from headgate.store.client import DEFAULT_DATABASE, Store, embedded_store, server_store
from headgate.store.directory import DataDirectory, acquire, default_data_directory, find_server
from headgate.store.errors import NoData, StoreBusy, StoreError
from headgate.store.migrate import migrate

__all__ = [
    "DEFAULT_DATABASE",
    "DataDirectory",
    "NoData",
    "Store",
    "StoreBusy",
    "StoreError",
    "acquire",
    "default_data_directory",
    "embedded_store",
    "find_server",
    "migrate",
    "server_store",
]
