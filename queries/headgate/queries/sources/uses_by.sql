-- Every use, with the first value that its attributes by_attributes have, else those of its resource, in the place of the
-- operation; beside a dimension's own rollup only uses that have one, as there. An attribute that ends in /100 is an
-- integer, counted in hundreds: 404 as 4xx.
WITH
    arrayMap(name -> replaceOne(name, '/100', ''), {by_attributes:Array(String)}) AS by_keys,
    arrayMap(key -> if(Attributes[key] != '', Attributes[key], Resource[key]), by_keys) AS by_values,
    arrayMap(
        (name, value) -> multiIf(
            NOT endsWith(name, '/100'), value,
            isNull(toUInt64OrNull(value)), '',
            concat(toString(intDiv(toUInt64OrZero(value), 100)), 'xx')),
        {by_attributes:Array(String)},
        by_values) AS by_shown
SELECT * REPLACE (arrayFirst(value -> value != '', by_shown) AS Operation)
FROM every_use
WHERE NOT {by_counted:Bool} OR arrayExists(value -> value != '', by_shown)
