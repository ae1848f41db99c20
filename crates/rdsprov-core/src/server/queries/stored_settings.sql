-- Returns the settings of the roles $1 in all databases and of the databases $2 for all roles as one JSON document, a
-- list that deserializes to `StoredSettings`. Settings of more than 8 kB are not read: see cluster.sql.
SELECT coalesce(json_agg(json_build_object(
  'role', r.rolname, 'database', d.datname, 'settings', CASE WHEN f.fits THEN c.setconfig END)
  ORDER BY r.rolname, d.datname), '[]')::text
FROM pg_catalog.pg_db_role_setting c
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.setrole
  LEFT JOIN pg_catalog.pg_database d ON d.oid = c.setdatabase
  CROSS JOIN LATERAL (
    SELECT CASE WHEN pg_column_size(c.setconfig) <= 8192 THEN (
      SELECT sum(octet_length(e)) <= 8192 FROM unnest(c.setconfig) e) ELSE false END) f(fits)
WHERE c.setdatabase = 0 AND r.rolname = ANY ($1::text[]::name[])
  OR c.setrole = 0 AND d.datname = ANY ($2::text[]::name[])
