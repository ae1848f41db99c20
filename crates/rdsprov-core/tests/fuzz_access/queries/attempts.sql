-- Executes statements as roles and rolls each of them back. $1: a JSON list of {role, sql}.
SELECT coalesce(json_agg(pg_temp.attempt(t.x ->> 'role', t.x ->> 'sql') ORDER BY t.number), '[]')::text
FROM json_array_elements($1::text::json) WITH ORDINALITY t(x, number)
