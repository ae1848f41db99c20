-- What a role's objects in a database mean to another role that is to have them, as one JSON document of the shape
-- of `OwnershipTransfer`. $1: the role, $2: the other role, which may be yet to come, $3: whether they go one by one: then
-- what belongs to an extension, and what only a superuser may own, stays; a sequence of a table's column goes with
-- the table. What only the sessions of the role can see goes away with them.
WITH taker AS (
  SELECT coalesce((SELECT rolname FROM pg_roles WHERE rolname = $2), 'public') AS name
), owned AS (
  SELECT s.classid, s.objid, i.schema, i.type,
    upper(replace(CASE i.type WHEN 'statistics object' THEN 'statistics' ELSE i.type END, '-', ' ')) AS kind,
    -- `*` for an aggregate without arguments, and the modes of a procedure's, which tell two of one name apart.
    CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN format('%s.%I(*)', i.schema, p.proname)
      WHEN p.prokind = 'p' THEN format('%s.%I(%s)', i.schema, p.proname, pg_get_function_identity_arguments(p.oid))
      ELSE i.identity END AS identity
  FROM pg_shdepend s CROSS JOIN pg_identify_object(s.classid, s.objid, s.objsubid) i
  LEFT JOIN pg_proc p ON s.classid = 'pg_proc'::regclass AND p.oid = s.objid
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND i.identity IS NOT NULL AND i.type NOT IN ('extension', 'default acl', 'user mapping') AND coalesce(i.schema, '') !~ '^pg_temp'
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid AND d.objsubid = 0
        AND (d.deptype IN ('a', 'i') AND i.type = 'sequence' OR d.deptype = 'e' AND $3))
), of_superusers AS (
  SELECT * FROM owned WHERE type IN ('event trigger', 'foreign-data wrapper')
), publishes_all AS (
  -- All tables, or all of a schema: pg_publication_namespace is there from 15 on.
  SELECT o.* FROM owned o JOIN pg_publication p ON o.classid = 'pg_publication'::regclass AND p.oid = o.objid
  WHERE p.puballtables OR EXISTS (
    SELECT FROM pg_depend d WHERE d.refclassid = o.classid AND d.refobjid = o.objid
      AND d.classid = to_regclass('pg_publication_namespace'))
), kept AS (
  SELECT o.kind, o.identity, '"wrapper"'::jsonb AS obstacle FROM owned o
  JOIN pg_foreign_server f ON o.classid = 'pg_foreign_server'::regclass AND f.oid = o.objid
  WHERE NOT has_foreign_data_wrapper_privilege((SELECT name FROM taker), f.srvfdw, 'USAGE')
  UNION ALL
  -- `REASSIGN OWNED` asks nothing of the kind for relations and types; `ALTER … OWNER TO` does.
  SELECT o.kind, o.identity, jsonb_build_object('schema', n.nspname) FROM owned o
  JOIN pg_namespace n ON quote_ident(n.nspname) = o.schema
  WHERE ($3 OR o.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass))
    AND pg_get_userbyid(n.nspowner) NOT IN ($1, $2, 'pg_database_owner')
    AND NOT has_schema_privilege((SELECT name FROM taker), n.oid, 'CREATE')
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM publishes_all
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM of_superusers WHERE NOT $3
)
SELECT json_build_object(
  'untransferable', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity, 'obstacle', obstacle)
      ORDER BY kind, identity), '[]') FROM kept),
  'administrator_objects', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity)
      ORDER BY type <> 'schema', type, identity), '[]')
    FROM owned WHERE $3 AND type NOT IN (SELECT type FROM of_superusers)))::text
