-- Returns the privileges of roles as has_*_privilege reports them. $1: the roles.
WITH roles AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY ($1::text[])),
words AS (
  SELECT 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER'
    || CASE WHEN current_setting('server_version_num')::int >= 170000 THEN ',MAINTAIN' ELSE '' END AS tables
), user_schemas AS (
  SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relations AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c JOIN user_schemas n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), held AS (
  SELECT 'database' AS class, '' AS schema, d.datname::text AS name, '' AS part, r.rolname AS role,
         p.privilege, has_database_privilege(r.oid, d.oid, p.privilege) AS has
  FROM roles r, pg_database d, (VALUES ('CREATE'), ('CONNECT'), ('TEMPORARY')) p(privilege)
  WHERE d.datname = current_database()
  UNION ALL
  SELECT 'schema', n.nspname, n.nspname, '', r.rolname, p.privilege, has_schema_privilege(r.oid, n.oid, p.privilege)
  FROM roles r, user_schemas n, (VALUES ('CREATE'), ('USAGE')) p(privilege)
  UNION ALL
  SELECT 'table', c.nspname, c.relname, '', r.rolname, p.privilege, has_table_privilege(r.oid, c.oid, p.privilege)
  FROM roles r, relations c, words, string_to_table(words.tables, ',') p(privilege) WHERE c.relkind <> 'S'
  UNION ALL
  SELECT 'sequence', c.nspname, c.relname, '', r.rolname, p.privilege, has_sequence_privilege(r.oid, c.oid, p.privilege)
  FROM roles r, relations c, (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) p(privilege) WHERE c.relkind = 'S'
  UNION ALL
  SELECT 'column', c.nspname, c.relname, a.attname, r.rolname, p.privilege,
         has_column_privilege(r.oid, c.oid, a.attnum, p.privilege)
  FROM roles r, relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
    (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('REFERENCES')) p(privilege) WHERE c.relkind <> 'S'
  UNION ALL
  SELECT 'routine', n.nspname, format('%s(%s)', f.proname, pg_get_function_identity_arguments(f.oid)), '', r.rolname,
         'EXECUTE', has_function_privilege(r.oid, f.oid, 'EXECUTE')
  FROM roles r, pg_proc f JOIN user_schemas n ON n.oid = f.pronamespace
  UNION ALL
  SELECT 'type', n.nspname, t.typname, '', r.rolname, 'USAGE', has_type_privilege(r.oid, t.oid, 'USAGE')
  FROM roles r, pg_type t JOIN user_schemas n ON n.oid = t.typnamespace WHERE t.typtype IN ('d', 'e')
  UNION ALL
  SELECT 'language', '', l.lanname, '', r.rolname, 'USAGE', has_language_privilege(r.oid, l.oid, 'USAGE')
  FROM roles r, pg_language l
  UNION ALL
  SELECT 'foreign_server', '', s.srvname, '', r.rolname, 'USAGE', has_server_privilege(r.oid, s.oid, 'USAGE')
  FROM roles r, pg_foreign_server s
  UNION ALL
  SELECT 'wrapper', '', w.fdwname, '', r.rolname, 'USAGE', has_foreign_data_wrapper_privilege(r.oid, w.oid, 'USAGE')
  FROM roles r, pg_foreign_data_wrapper w
)
SELECT coalesce(json_agg(json_build_object(
  'name', json_build_object('class', h.class, 'schema', h.schema, 'name', h.name, 'part', h.part),
  'role', h.role, 'held', h.privileges)), '[]')::text
FROM (
  SELECT class, schema, name, part, role,
         coalesce(array_agg(privilege) FILTER (WHERE has), '{}') AS privileges
  FROM held GROUP BY 1, 2, 3, 4, 5
) h
