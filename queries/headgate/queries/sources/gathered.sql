-- Uses as they were copied for one answer; what says how sure a count of them is follows from what they were drawn by.
SELECT
    *,
    arrayMap(bit -> if(bitTest(Draw, bit), 1., -1.), range(if(Weight > 1, 64, 0))) AS Signs
FROM {gathered:Identifier}
