-- Returns the objects of the owner of a database that gets another owner, as one JSON document that deserializes to
-- `OwnershipTransfer`. $1: the current owner, $2: the new owner, which need not exist yet, $3: whether the objects are
-- transferred one by one. In this case, objects of extensions and objects that only a superuser may own are not
-- transferred. $4: the only schemas whose objects are returned, or null for all. $5: the declared roles and the creators. A sequence of a table column is transferred together with the table. Temporary objects are omitted,
-- because PostgreSQL drops them at the end of their session.
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
    AND pg_get_userbyid(n.nspowner) NOT IN ($1, $2, 'pg_database_owner')
    AND NOT has_schema_privilege((SELECT name FROM new_owner), n.oid, 'CREATE')
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM wide_publication
  UNION ALL
  SELECT kind, identity, '"superuser"' FROM superuser_only WHERE NOT $3
), expression AS (
  -- What belongs to the objects and can call a function, other than functions and triggers. `schema` is quoted.
  SELECT 'pg_attrdef'::regclass AS classid, a.oid AS objid, o.schema FROM owned o
  JOIN pg_attrdef a ON o.classid = 'pg_class'::regclass AND a.adrelid = o.objid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, o.schema FROM owned o
  JOIN pg_constraint c ON o.classid = 'pg_class'::regclass AND c.conrelid = o.objid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, o.schema FROM owned o
  JOIN pg_constraint c ON o.classid = 'pg_type'::regclass AND c.contypid = o.objid
  UNION ALL SELECT 'pg_class'::regclass, x.indexrelid, o.schema FROM owned o
  JOIN pg_index x ON o.classid = 'pg_class'::regclass AND x.indrelid = o.objid
  UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid, o.schema FROM owned o
  JOIN pg_statistic_ext e ON o.classid = 'pg_class'::regclass AND e.stxrelid = o.objid
  UNION ALL SELECT 'pg_policy'::regclass, p.oid, o.schema FROM owned o
  JOIN pg_policy p ON o.classid = 'pg_class'::regclass AND p.polrelid = o.objid
  -- The view or materialized view instead of its rule _RETURN.
  UNION ALL SELECT 'pg_class'::regclass, o.objid, o.schema FROM owned o WHERE o.classid = 'pg_class'::regclass
  UNION ALL SELECT o.classid, o.objid, o.schema FROM owned o
  WHERE o.classid IN ('pg_type'::regclass, 'pg_operator'::regclass)
  UNION ALL SELECT o.classid, o.objid, o.schema FROM owned o
  JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid WHERE p.prokind = 'a'
  -- A cast has no owner: it belongs to the owner of one of its types.
  UNION ALL SELECT 'pg_cast'::regclass, c.oid, NULL FROM pg_cast c
  WHERE c.oid >= 16384 AND EXISTS (
    SELECT FROM pg_type t WHERE t.oid IN (c.castsource, c.casttarget)
      AND t.typowner = (SELECT oid FROM pg_roles WHERE rolname = $1))
), uses AS (
  SELECT e.classid, e.objid, e.schema, d.refclassid, d.refobjid FROM expression e
  JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid AND d.objsubid = 0
  -- Before PostgreSQL 15, the dependencies of a generated column are those of the column.
  UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, o.schema, d.refclassid, d.refobjid FROM owned o
  JOIN pg_attrdef a ON o.classid = 'pg_class'::regclass AND a.adrelid = o.objid
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = a.adrelid AND d.objsubid = a.adnum
  UNION ALL SELECT 'pg_class'::regclass, o.objid, o.schema, d.refclassid, d.refobjid FROM owned o
  JOIN pg_rewrite r ON o.classid = 'pg_class'::regclass AND r.ev_class = o.objid AND r.rulename = '_RETURN'
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
), called AS (
  SELECT u.classid, u.objid, u.schema, p.proowner FROM uses u
  JOIN pg_proc p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid WHERE p.oid >= 16384
  UNION ALL SELECT u.classid, u.objid, u.schema, p.proowner FROM uses u
  JOIN pg_operator x ON u.refclassid = 'pg_operator'::regclass AND x.oid = u.refobjid
  JOIN pg_proc p ON p.oid = x.oprcode WHERE x.oid >= 16384
  UNION ALL SELECT 'pg_trigger'::regclass, t.oid, o.schema, p.proowner FROM owned o
  JOIN pg_trigger t ON o.classid = 'pg_class'::regclass AND t.tgrelid = o.objid
  JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
), code AS (
  -- A role can only replace its own functions, and those of roles that it is a member of. Of the objects of the
  -- administrator, only the code that others planted counts.
  SELECT c.classid, c.objid, c.schema FROM called c JOIN pg_roles r ON r.oid = c.proowner
  WHERE (NOT r.rolsuper OR c.classid = 'pg_trigger'::regclass AND NOT $3) AND NOT ($3 AND r.rolname = $1)
  UNION SELECT o.classid, o.objid, o.schema FROM owned o
  JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid WHERE p.prosecdef AND NOT $3
  UNION SELECT 'pg_rewrite'::regclass, r.oid, o.schema FROM owned o
  JOIN pg_rewrite r ON o.classid = 'pg_class'::regclass AND r.ev_class = o.objid
  WHERE r.rulename <> '_RETURN' AND NOT $3
  -- Views read relations with the privileges of their owner.
  UNION SELECT u.classid, u.objid, u.schema FROM uses u
  JOIN pg_class v ON u.classid = 'pg_class'::regclass AND v.oid = u.objid AND v.relkind IN ('v', 'm')
  JOIN pg_class c ON u.refclassid = 'pg_class'::regclass AND c.oid = u.refobjid
  WHERE c.oid >= 16384 AND c.relowner <> v.relowner AND NOT $3
  UNION SELECT o.classid, o.objid, o.schema FROM owned o WHERE o.classid = 'pg_event_trigger'::regclass AND NOT $3
), privilege AS (
  -- With these, a role that no application declares adds code later, which the new owner executes: a trigger, an object
  -- in a schema of its search_path, or a schema with its name.
  SELECT r.rolname, 'pg_class'::regclass AS class, x.privilege_type, i.identity FROM owned o
  JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
  CROSS JOIN aclexplode(c.relacl) x JOIN pg_roles r ON r.oid = x.grantee CROSS JOIN pg_identify_object(o.classid, o.objid, 0) i
  WHERE x.privilege_type = 'TRIGGER'
  UNION ALL
  SELECT r.rolname, 'pg_namespace'::regclass, x.privilege_type, 'schema ' || quote_ident(n.nspname) FROM pg_namespace n
  CROSS JOIN aclexplode(n.nspacl) x JOIN pg_roles r ON r.oid = x.grantee
  WHERE x.privilege_type = 'CREATE' AND (n.nspname = 'public' OR pg_get_userbyid(n.nspowner) IN ($1, $2, 'pg_database_owner'))
  UNION ALL
  SELECT r.rolname, 'pg_database'::regclass, x.privilege_type, 'the database' FROM pg_database d
  CROSS JOIN aclexplode(d.datacl) x JOIN pg_roles r ON r.oid = x.grantee
  WHERE x.privilege_type = 'CREATE' AND d.datname = current_database() AND pg_get_userbyid(d.datdba) = $1
), kept AS (
  SELECT rolname, class, privilege_type, min(identity) AS first, count(DISTINCT identity) - 1 AS others FROM privilege
  WHERE NOT $3 AND rolname NOT IN ($1, $2, 'pg_database_owner', current_user) AND rolname <> ALL ($5::text[])
    AND rolname NOT IN (SELECT rolname FROM pg_roles WHERE rolsuper)
  GROUP BY 1, 2, 3
)
SELECT json_build_object(
  'code', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'schema', schema, 'name', name) ORDER BY kind, name), '[]')
    FROM (
      SELECT i.type AS kind, n.nspname AS schema, i.identity AS name
      FROM code c CROSS JOIN pg_identify_object(c.classid, c.objid, 0) i
      LEFT JOIN LATERAL (SELECT * FROM pg_namespace n WHERE n.oid = to_regnamespace(c.schema) OFFSET 0) n ON true
      WHERE i.identity IS NOT NULL
      UNION ALL
      SELECT 'privilege', NULL, format('%s of role %s on %s', privilege_type, rolname,
        first || CASE others WHEN 0 THEN '' ELSE format(' and %s more', others) END)
      FROM kept) listed),
  'untransferable', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity, 'obstacle', obstacle)
      ORDER BY kind, identity), '[]') FROM untransferable),
  'administrator_objects', (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity)
      ORDER BY type <> 'schema', type, identity), '[]')
    FROM owned WHERE $3 AND type NOT IN (SELECT type FROM superuser_only)))::text
