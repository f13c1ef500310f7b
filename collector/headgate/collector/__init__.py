"""Receives OTLP and writes it to ClickHouse: check, decode, derive, roll up, encode, insert."""
