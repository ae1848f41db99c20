-- Returns the schemas, relations, default privileges and extensions of one database as one JSON document that deserializes
-- to `Contents`; concerned.sql and relations.sql precede it.
-- $3: the names of the columns of an audit table.
-- `|| '{}'` decompresses a long ACL once, see cluster.sql.
-- The owner of an extension can add objects of its own to it, for which declared roles would then get privileges. So
-- 'extension' is returned only if an administrator owns the object or the extension.
, groups AS (
  SELECT nspname, json_agg(json_build_object(
    'number', number, 'owner', owner, 'kind', kind, 'of_extension', of_extension,
    'initial_privileges_of_public', given, 'count', count,
    'acl', (
      SELECT coalesce(json_agg(json_build_object(
        'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
        'privilege', x.privilege_type, 'grantable', x.is_grantable)
        ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
      FROM aclexplode(nullif(acl, '{}')::aclitem[]) x)) ORDER BY number) AS groups
  FROM (SELECT number, nspname, owner, kind, of_extension, given, acl, sum(count) AS count
        FROM relations GROUP BY 1, 2, 3, 4, 5, 6, 7) one GROUP BY nspname
), column_acl AS MATERIALIZED (
  -- PostgreSQL expects nearly no column with an ACL, and would read all of `relations` for each of them.
  SELECT n.nspname, c.relname, c.relowner, c.oid AS relation, c.relacl, a.attnum, a.attname,
    a.attacl || '{}' AS attacl
  FROM pg_attribute a
  CROSS JOIN LATERAL (SELECT * FROM pg_class c WHERE c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') OFFSET 0) c
  CROSS JOIN LATERAL (SELECT * FROM pg_namespace n WHERE n.oid = c.relnamespace OFFSET 0) n
  WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), with_column_acl AS (
  SELECT c.nspname, c.relname, pg_get_userbyid(c.relowner) AS owner,
    c.relowner IN (SELECT oid FROM administrator) AND EXISTS (
      SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.relation AND e.objsubid = 0
        AND e.deptype = 'e') AS of_extension,
    CASE WHEN c.relowner IN (SELECT oid FROM administrator) THEN coalesce((
      SELECT array_agg(DISTINCT x.privilege_type) FROM pg_init_privs p, aclexplode(p.initprivs) x
      WHERE p.objoid = c.relation AND p.classoid = 'pg_class'::regclass AND p.objsubid = c.attnum AND p.privtype = 'e'
        AND x.grantee = 0), '{}') ELSE '{}' END AS given,
    c.attacl::text AS acl,
    -- Rarely, another role than the owner has granted a privilege.
    CASE WHEN EXISTS (SELECT FROM aclexplode(c.attacl) x WHERE x.grantor <> c.relowner) THEN (
      SELECT jsonb_object_agg(one.grantor, one.privileges)
      FROM (
        SELECT pg_get_userbyid(o.grantee) AS grantor, jsonb_agg(DISTINCT o.privilege_type) AS privileges
        FROM aclexplode(c.relacl || '{}') o
        WHERE o.is_grantable AND o.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND o.grantee IN (
          SELECT x.grantor FROM aclexplode(c.attacl) x WHERE x.grantor <> c.relowner)
        GROUP BY 1) one) END AS options,
    json_agg(c.attname ORDER BY c.attnum) AS names
  FROM column_acl c
  WHERE EXISTS (
    SELECT FROM aclexplode(c.attacl) x
    WHERE x.grantee = 0 OR x.grantee IN (SELECT oid FROM concerned) OR x.grantor IN (SELECT oid FROM concerned))
  GROUP BY 1, 2, 3, 4, 5, 6, 7
), columns AS (
  SELECT nspname, json_agg(json_build_object(
    'relation', relname, 'owner', owner, 'of_extension', of_extension,
    'initial_privileges_of_public', given, 'names', names,
    'acl', (
      SELECT coalesce(json_agg(json_build_object(
        'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
        'privilege', x.privilege_type, 'grantable', x.is_grantable)
        ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
      FROM aclexplode(nullif(acl, '{}')::aclitem[]) x),
    'options_on_relation', coalesce(options, '{}'))
    ORDER BY relname, given, acl) AS columns
  FROM with_column_acl GROUP BY nspname
), parts AS (
  -- Not joined, but collected by name: the time is linear, whatever PostgreSQL expects of the number of rows.
  SELECT nspname, (array_agg(groups) FILTER (WHERE groups IS NOT NULL))[1] AS groups,
    (array_agg(columns) FILTER (WHERE columns IS NOT NULL))[1] AS columns, max(owner) AS owner, bool_or(of_extension) AS of_extension,
    max(extension) AS extension, (array_agg(acl) FILTER (WHERE acl IS NOT NULL))[1] AS acl
  FROM (
    SELECT n.nspname, NULL::json AS groups, NULL::json AS columns, pg_get_userbyid(n.nspowner)::text AS owner, (
        SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.refclassid = 'pg_extension'::regclass
          AND d.deptype = 'e' AND (n.nspowner IN (SELECT oid FROM administrator) OR e.extowner IN (SELECT oid FROM administrator))) AS extension,
      n.nspowner IN (SELECT oid FROM administrator) AND EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e') AS of_extension, (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
          'privilege', x.privilege_type, 'grantable', x.is_grantable)
          ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
        FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)) || '{}') x) AS acl
    FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL SELECT g.nspname, g.groups, NULL, NULL, NULL, NULL, NULL FROM groups g
    UNION ALL SELECT c.nspname, NULL, c.columns, NULL, NULL, NULL, NULL FROM columns c) part
  GROUP BY nspname
), undeclared_grant AS (
  -- Each role that an ACL contains, except the owner of the relation.
  SELECT m.role AS grantee, r.nspname, r.kind
  FROM relations r, aclexplode(r.raw) x, LATERAL (VALUES (x.grantee), (x.grantor)) m(role)
  WHERE m.role NOT IN (0, r.relowner)
    AND m.role NOT IN (SELECT oid FROM concerned) AND m.role NOT IN (SELECT oid FROM administrator)
  UNION
  SELECT m.role, c.nspname, 'table'
  FROM column_acl c, aclexplode(c.attacl) x, LATERAL (VALUES (x.grantee), (x.grantor)) m(role)
  WHERE m.role NOT IN (0, c.relowner)
    AND m.role NOT IN (SELECT oid FROM concerned) AND m.role NOT IN (SELECT oid FROM administrator)
)
SELECT json_build_object(
  'schemas', (
    SELECT coalesce(json_object_agg(n.nspname, json_build_object(
      'owner', n.owner, 'of_extension', n.of_extension, 'extension', n.extension, 'acl', n.acl,
      'relations', coalesce(n.groups, '[]'), 'columns', coalesce(n.columns, '[]')) ORDER BY n.nspname), '{}')
    FROM parts n),
  'undeclared_grantees', (
    SELECT coalesce(json_object_agg(g.rolname, one.schemas ORDER BY g.rolname), '{}')
    FROM (
      SELECT grantee, json_object_agg(nspname, kinds ORDER BY nspname) AS schemas
      FROM (
        SELECT u.grantee, u.nspname, json_agg(u.kind ORDER BY u.kind DESC) AS kinds
        FROM undeclared_grant u GROUP BY 1, 2) by_schema
      GROUP BY grantee) one
    JOIN pg_roles g ON g.oid = one.grantee),
  'audit_schemas', (
    -- Of another role, it would not be an audit table, but could stop the plan.
    SELECT coalesce(json_agg(DISTINCT n.nspname), '[]') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relnatts = cardinality($3::text[]) AND c.relowner IN (SELECT oid FROM administrator)
      AND $3 = ARRAY(
        SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum)),
  'default_privileges', (
    SELECT coalesce(json_agg(json_build_object(
      'role', pg_get_userbyid(d.defaclrole), 'schema', n.nspname,
      'kind', CASE d.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'routine'
        WHEN 'T' THEN 'type' WHEN 'n' THEN 'schema' ELSE 'large_object' END,
      'acl', (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
          'privilege', x.privilege_type, 'grantable', x.is_grantable)
          ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
        FROM aclexplode(d.defaclacl || '{}') x))
      ORDER BY pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype), '[]')
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace),
  'extensions', (
    SELECT coalesce(json_object_agg(e.extname, pg_get_userbyid(e.extowner) ORDER BY e.extname), '{}')
    FROM pg_extension e),
  'extension_schemas', (
    SELECT coalesce(json_object_agg(e.extname, n.nspname ORDER BY e.extname), '{}')
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname !~ '^pg_'),
  'extension_requirements', (
    SELECT coalesce(json_object_agg(one.extname, one.required ORDER BY one.extname), '{}')
    FROM (
      SELECT e.extname, json_agg(r.extname ORDER BY r.extname) AS required
      FROM pg_depend d JOIN pg_extension e ON e.oid = d.objid JOIN pg_extension r ON r.oid = d.refobjid
      WHERE d.classid = 'pg_extension'::regclass AND d.refclassid = 'pg_extension'::regclass GROUP BY e.extname) one)
)::text
