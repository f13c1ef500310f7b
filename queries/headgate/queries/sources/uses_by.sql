-- Every use, with the value of an attribute of the use, else of its resource, in the place of the operation.
SELECT * REPLACE (
    if(mapContains(Attributes, {by:String}), Attributes[{by:String}], Resource[{by:String}]) AS Operation)
FROM every_use
