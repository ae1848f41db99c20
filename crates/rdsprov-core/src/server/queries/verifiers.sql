-- Returns the stored verifiers of the roles $1. Only superusers may read pg_authid.
-- A role can store a verifier of any length for itself. One with a salt of 16 bytes has 133 characters.
SELECT (SELECT coalesce(json_object_agg(a.rolname, CASE WHEN octet_length(a.rolpassword) <= 1024 THEN a.rolpassword END), '{}')
  FROM pg_authid a WHERE a.rolname = ANY($1::text[]))::text
