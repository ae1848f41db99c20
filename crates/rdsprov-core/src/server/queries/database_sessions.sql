-- Returns the roles with sessions in each of the databases $1 as one JSON document that deserializes to
-- sets of names by database. Left out are the sessions of the current role with the name of this program:
-- they end with the observation.
SELECT coalesce(json_object_agg(datname, roles), '{}')::text FROM (
  SELECT s.datname, json_agg(DISTINCT s.usename) AS roles
  FROM pg_catalog.pg_stat_activity s
  WHERE s.datname = ANY ($1::text[]::name[]) AND s.usename IS NOT NULL
    AND NOT (s.usename = current_user AND s.application_name LIKE 'rdsprov%')
  GROUP BY s.datname) f
