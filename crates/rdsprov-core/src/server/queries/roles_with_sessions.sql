-- Returns those of the roles $1 that have sessions, as one JSON list of names. Each role may see the
-- roles of all sessions. usesysid is the role that logged in, whatever role the session has set since.
SELECT coalesce(json_agg(DISTINCT s.usename), '[]')::text
FROM pg_catalog.pg_stat_activity s WHERE s.usename = ANY ($1::text[]::name[])
