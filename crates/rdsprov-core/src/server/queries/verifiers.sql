-- Returns the stored verifiers of the roles $1. Only superusers may read pg_authid.
SELECT (SELECT coalesce(json_object_agg(a.rolname, a.rolpassword), '{}')
  FROM pg_authid a WHERE a.rolname = ANY($1::text[]))::text
