-- The names of all attributes of uses, and of their resources.
SELECT DISTINCT toString(arrayJoin(arrayConcat(mapKeys(Attributes), mapKeys(Resource)))) AS name
FROM every_use
