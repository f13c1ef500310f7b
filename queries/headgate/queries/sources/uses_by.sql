-- Every use, with the value of an attribute of the use, else of its resource, in the place of the operation. Names of
-- dimensions are tried as attributes too: context_type is `context.type` or `headgate.context.type`.
WITH
    replaceAll({by:String}, '_', '.') AS dotted,
    [{by:String}, concat('headgate.', dotted), dotted, concat(dotted, '.name')] AS names
SELECT * REPLACE (
    multiIf(
        arrayExists(name -> mapContains(Attributes, name), names),
        Attributes[arrayFirst(name -> mapContains(Attributes, name), names)],
        Resource[arrayFirst(name -> mapContains(Resource, name), names)]) AS Operation)
FROM every_use
