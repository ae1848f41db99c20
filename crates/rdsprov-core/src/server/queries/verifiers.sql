-- The verifiers of some roles ($1), for who may read them.
SELECT (SELECT coalesce(json_object_agg(a.rolname, a.rolpassword), '{}')
  FROM pg_authid a WHERE a.rolname = ANY($1::text[]))::text
