-- Returns the names of the relations in the groups with the numbers $2, by number.
SELECT (SELECT coalesce(json_object_agg(number, names), '{}') FROM (
  SELECT number, json_agg(relname ORDER BY relname) AS names
  FROM relations WHERE number = ANY($2::bigint[]) GROUP BY number) of_group)::text
