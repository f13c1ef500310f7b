-- One hour in `every` of those in the window.
hours AS (
    SELECT toDateTime(number * 3600, 'UTC')
    FROM numbers(
        intDiv(toUnixTimestamp({since:DateTime64(9, 'UTC')}), 3600),
        intDiv(toUnixTimestamp({until:DateTime64(9, 'UTC')}), 3600)
            - intDiv(toUnixTimestamp({since:DateTime64(9, 'UTC')}), 3600) + 1)
    WHERE intHash64(number) % every = 0
)
