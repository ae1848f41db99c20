-- Returns the objects of the owner of a database that gets another owner, as one JSON document that deserializes to
-- `OwnershipTransfer`. $1: the current owner, $2: the new owner, which need not exist yet, $3: whether the objects are
-- transferred one by one. In this case, objects of extensions and objects that only a superuser may own are not
-- transferred. $4: the only schemas whose objects are returned, or null for all. A sequence of a table column is transferred
-- together with the table. Temporary objects are omitted, because PostgreSQL drops them at the end of their session.
-- $5: the schemas of audit tables.
-- handed_over_code.sql lists the code in these objects.
WITH new_owner AS (
  SELECT coalesce((SELECT rolname FROM pg_roles WHERE rolname = $2), 'public') AS name
), owned AS (
  SELECT s.classid, s.objid, i.schema, i.type,
    upper(replace(CASE i.type WHEN 'statistics object' THEN 'statistics' ELSE i.type END, '-', ' ')) AS kind,
    -- `*` for an aggregate without arguments. For a procedure with the modes of the arguments, because two procedures
    -- of one name can differ in the modes only.
    CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN format('%s.%I(*)', i.schema, p.proname)
      WHEN p.prokind = 'p' THEN format('%s.%I(%s)', i.schema, p.proname, pg_get_function_identity_arguments(p.oid))
      ELSE i.identity END AS identity
  FROM pg_shdepend s CROSS JOIN pg_identify_object(s.classid, s.objid, s.objsubid) i
  LEFT JOIN LATERAL (SELECT * FROM pg_proc p WHERE s.classid = 'pg_proc'::regclass AND p.oid = s.objid OFFSET 0) p ON true
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND ($4::text[] IS NULL OR i.schema IN (SELECT quote_ident(name) FROM unnest($4) name))
    -- An audit table stays with the administrator.
    AND NOT ($3 AND coalesce(
      CASE i.type WHEN 'schema' THEN i.identity ELSE i.schema END IN (SELECT quote_ident(name) FROM unnest($5::text[]) name), false))
    AND i.identity IS NOT NULL AND i.type NOT IN ('extension', 'default acl', 'user mapping') AND coalesce(i.schema, '') !~ '^pg_temp'
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid AND d.objsubid = 0
        AND (d.deptype IN ('a', 'i') AND i.type = 'sequence' OR d.deptype = 'e' AND $3))
), superuser_only AS (
  SELECT * FROM owned WHERE type IN ('event trigger', 'foreign-data wrapper')
), wide_publication AS (
  -- FOR ALL TABLES, or FOR TABLES IN SCHEMA: the catalog pg_publication_namespace exists since PostgreSQL 15.
  SELECT o.* FROM owned o JOIN pg_publication p ON o.classid = 'pg_publication'::regclass AND p.oid = o.objid
  WHERE p.puballtables OR EXISTS (
    SELECT FROM pg_depend d WHERE d.refclassid = o.classid AND d.refobjid = o.objid
      AND d.classid = to_regclass('pg_publication_namespace'))
), untransferable AS (
  SELECT o.kind, o.identity, '"wrapper"'::jsonb AS obstacle FROM owned o
  JOIN pg_foreign_server f ON o.classid = 'pg_foreign_server'::regclass AND f.oid = o.objid
  WHERE NOT has_foreign_data_wrapper_privilege((SELECT name FROM new_owner), f.srvfdw, 'USAGE')
  UNION ALL
  -- ALTER ... OWNER TO requires that the new owner has CREATE on the schema. REASSIGN OWNED does not require it for
  -- relations and types.
  SELECT o.kind, o.identity, jsonb_build_object('schema', n.nspname) FROM owned o
  CROSS JOIN LATERAL (SELECT * FROM pg_namespace n WHERE n.oid = to_regnamespace(o.schema) OFFSET 0) n
  WHERE ($3 OR o.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass))
    AND NOT has_schema_privilege((SELECT name FROM new_owner), n.oid, 'CREATE')
    -- The new owner gets what the old one has on its schemas, and what the owner of the database has.
    AND NOT EXISTS (
      SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
      WHERE x.privilege_type = 'CREATE' AND (x.grantee = n.nspowner AND pg_get_userbyid(n.nspowner) = $1
        OR pg_get_userbyid(x.grantee) = 'pg_database_owner'))
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM wide_publication
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM superuser_only WHERE NOT $3
)
SELECT json_build_object(
  'untransferable', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity, 'obstacle', obstacle)
      ORDER BY kind, identity), '[]') FROM untransferable),
  'administrator_objects', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity)
      ORDER BY type <> 'schema', type, identity), '[]')
    FROM owned WHERE $3 AND type NOT IN (SELECT type FROM superuser_only)))::text
