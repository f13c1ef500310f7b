"""SQL that makes raw rows look like rollups; `headgate.queries.source` says when it is used."""
