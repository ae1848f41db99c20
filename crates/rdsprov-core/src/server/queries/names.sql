-- Returns the names of the relations in the groups with the numbers $3, by number.
SELECT (SELECT coalesce(json_object_agg(number, names), '{}') FROM (
  SELECT g.number, json_agg(r.relname ORDER BY r.relname) AS names
  FROM relation r JOIN relations g USING (relnamespace, relowner, kind, of_extension, given, raw)
  WHERE g.number = ANY($3::bigint[]) GROUP BY g.number) of_group)::text
