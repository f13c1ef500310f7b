-- Which services and operations were used in the window, at most so many that a sentence can still be made of them.
SELECT DISTINCT ServiceName AS service, Operation AS operation
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
LIMIT 10000
