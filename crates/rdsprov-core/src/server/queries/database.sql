-- Returns the contents of one database as one JSON document that deserializes to `Contents`; objects.sql and relations.sql
-- precede it.
-- $1 and $2: see relations.sql. $3: the OIDs of the only roles whose large objects are returned: each role that can connect
-- can create some. $4: the declared owner of the database, or null. $5: the OID of the administrator. The current role
-- can be another one. $6: the names of the columns of an audit table.
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
  SELECT n.nspname, c.relname, c.relowner, c.oid AS relation, a.attnum, a.attname, a.attacl || '{}' AS attacl
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
    json_agg(c.attname ORDER BY c.attnum) AS names
  FROM column_acl c
  WHERE EXISTS (
    SELECT FROM aclexplode(c.attacl) x
    WHERE x.grantee = 0 OR x.grantee IN (SELECT oid FROM concerned) OR x.grantor IN (SELECT oid FROM concerned))
  GROUP BY 1, 2, 3, 4, 5, 6
), columns AS (
  SELECT nspname, json_agg(json_build_object(
    'relation', relname, 'owner', owner, 'of_extension', of_extension,
    'initial_privileges_of_public', given, 'names', names,
    'acl', (
      SELECT coalesce(json_agg(json_build_object(
        'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
        'privilege', x.privilege_type, 'grantable', x.is_grantable)
        ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
      FROM aclexplode(nullif(acl, '{}')::aclitem[]) x))
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
), with_acl AS (
  SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind, 'pg_proc'::regclass AS class,
    n.oid AS namespace, coalesce(CASE p.prokind WHEN 'p' THEN p.proallargtypes END, p.proargtypes::oid[]) AS arguments,
    p.oid, p.proowner AS owner, p.proacl AS acl
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname !~ '^pg_(toast_)?temp_'
  UNION ALL
  SELECT 'type', 'pg_type'::regclass, n.oid, NULL, t.oid, t.typowner, t.typacl
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE n.nspname !~ '^pg_(toast_)?temp_'
  UNION ALL
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, 'pg_class'::regclass, n.oid, NULL, c.oid,
    c.relowner, c.relacl
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname ~ '^pg_(?!(toast_)?temp_)' OR n.nspname = 'information_schema'
  UNION ALL
  SELECT 'schema', 'pg_namespace'::regclass, NULL, NULL, oid, nspowner, nspacl FROM pg_namespace
  WHERE nspname ~ '^pg_(?!(toast_)?temp_)' OR nspname = 'information_schema'
  UNION ALL SELECT 'language', 'pg_language'::regclass, NULL, NULL, oid, lanowner, lanacl FROM pg_language
  UNION ALL SELECT 'foreign_data_wrapper', 'pg_foreign_data_wrapper'::regclass, NULL, NULL, oid, fdwowner, fdwacl
  FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'foreign_server', 'pg_foreign_server'::regclass, NULL, NULL, oid, srvowner, srvacl
  FROM pg_foreign_server
  UNION ALL SELECT 'large_object', 'pg_largeobject'::regclass, NULL, NULL, oid, lomowner, lomacl
  FROM pg_largeobject_metadata WHERE lomowner = ANY($3::oid[])
), object_of_user AS MATERIALIZED (
  -- Not those of the roles of the system (before 16384), which are nearly all. A superuser as the administrator owns them.
  SELECT * FROM object WHERE owner >= 16384
), owned AS (
  -- From the catalogs of the objects: pg_shdepend has a row for each privilege on each object, too.
  SELECT o.owner, o.classid, o.objid FROM (
    SELECT classid, objid, owner, namespace FROM object_of_user
    UNION ALL SELECT 'pg_largeobject'::regclass, oid, lomowner, NULL FROM pg_largeobject_metadata WHERE lomowner >= 16384) o
  WHERE o.owner <> (SELECT datdba FROM pg_database WHERE datname = current_database())
    AND (o.owner IN (SELECT oid FROM concerned)
      OR o.owner = $5::oid
        AND o.classid NOT IN ('pg_extension'::regclass, 'pg_namespace'::regclass)
        AND NOT EXISTS (
          SELECT FROM pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype = 'e'))
    -- Not the row type of a table, nor the array type of a type.
    AND (o.classid <> 'pg_type'::regclass OR NOT EXISTS (
      SELECT FROM pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype = 'i'))
    AND (o.namespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_')) IS NOT TRUE
), replaced AS (
  -- The objects that a manual fix transfers from a role, with its conditions. REASSIGN OWNED requires that the new owner
  -- has USAGE on the wrapper of a foreign server, and CREATE on the database for a publication, and on the schema of each
  -- object that is neither a relation nor a type. The current role, which then has the privileges of both owners, needs
  -- CREATE on the database for a schema. The new owner of the database gets the privileges of the old one.
  SELECT o.owner, CASE
    WHEN o.classid IN ('pg_foreign_data_wrapper'::regclass, 'pg_event_trigger'::regclass) THEN NOT one_by_one
    WHEN o.classid = 'pg_foreign_server'::regclass THEN NOT has_foreign_data_wrapper_privilege(
      new_owner, (SELECT srvfdw FROM pg_foreign_server WHERE oid = o.objid), 'USAGE')
    WHEN o.classid = 'pg_publication'::regclass THEN NOT (
      has_database_privilege(new_owner, d.oid, 'CREATE') OR of_database AND EXISTS (
        SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)) || '{}') x
        WHERE x.grantee = o.owner AND x.privilege_type = 'CREATE'))
      OR (SELECT puballtables FROM pg_publication WHERE oid = o.objid) OR EXISTS (
        -- FOR TABLES IN SCHEMA: the catalog exists since PostgreSQL 15.
        SELECT FROM pg_depend e WHERE e.refclassid = o.classid AND e.refobjid = o.objid
          AND e.classid = to_regclass('pg_publication_namespace'))
    WHEN o.classid = 'pg_namespace'::regclass THEN NOT (
      has_database_privilege($5::oid, d.oid, 'CREATE') OR has_database_privilege(o.owner, d.oid, 'CREATE')
      OR has_database_privilege(new_owner, d.oid, 'CREATE'))
    WHEN o.namespace IS NULL OR o.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND NOT one_by_one THEN false
    ELSE NOT has_schema_privilege(new_owner, o.namespace, 'CREATE') AND NOT EXISTS (
      SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)) || '{}') x
      WHERE n.oid = o.namespace AND x.privilege_type = 'CREATE' AND (x.grantee = o.owner AND n.nspowner = o.owner
        OR of_database AND x.grantee = (SELECT oid FROM pg_roles WHERE rolname = 'pg_database_owner')))
    END AS only_superusers
  FROM object_of_user o JOIN pg_database d ON d.datname = current_database()
  CROSS JOIN LATERAL (SELECT o.owner = d.datdba, o.owner = $5::oid) is_owner(of_database, one_by_one)
  CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT of_database THEN coalesce((SELECT rolname FROM pg_roles WHERE rolname = $4), pg_get_userbyid(d.datdba))
      WHEN $4::text IS NULL THEN pg_get_userbyid($5::oid)
      -- What a role has that does not exist yet.
      ELSE coalesce((SELECT rolname FROM pg_roles WHERE rolname = $4), 'public') END) gets(new_owner)
  WHERE new_owner <> pg_get_userbyid(o.owner)
    AND (of_database AND $4 IS NOT NULL OR one_by_one OR o.owner IN (SELECT oid FROM concerned)
      OR NOT of_database AND o.owner NOT IN (SELECT oid FROM administrator))
    AND (o.namespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_')) IS NOT TRUE
    AND NOT EXISTS (
      SELECT FROM pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid
        AND (e.deptype = 'i' AND o.classid = 'pg_type'::regclass OR e.deptype = 'e' AND one_by_one))
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
  'objects', (
    SELECT coalesce(json_agg(json_build_object(
      'kind', o.kind, 'identity', CASE o.kind WHEN 'procedure' THEN (
        -- With the modes of the arguments, because two procedures of one name can differ in the modes only.
        SELECT format('%s.%I(%s)', i.schema, p.proname, pg_get_function_identity_arguments(p.oid))
        FROM pg_proc p WHERE p.oid = o.oid)
        -- Types of the SQL standard have identities of several words.
        WHEN 'type' THEN format('%s.%s', i.schema, i.name) ELSE i.identity END, 'owner', pg_get_userbyid(o.owner),
      'of_extension', o.owner IN (SELECT oid FROM administrator) AND EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'),
      'extension', (
        SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = o.class AND d.objid = o.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
          AND (o.owner IN (SELECT oid FROM administrator) OR e.extowner IN (SELECT oid FROM administrator))),
      'schemas', (
        -- By its index: a query on pg_namespace with a condition on two columns would read all of it.
        SELECT coalesce(json_agg(DISTINCT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = x.oid)), '[]')
        FROM (
          SELECT o.namespace AS oid WHERE o.namespace IS NOT NULL
          UNION ALL SELECT t.typnamespace FROM pg_type t WHERE t.oid = ANY(o.arguments)) x),
      'acl', (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', pg_get_userbyid(nullif(x.grantee, 0)), 'grantor', pg_get_userbyid(x.grantor),
          'privilege', x.privilege_type, 'grantable', x.is_grantable)
          ORDER BY pg_get_userbyid(nullif(x.grantee, 0)), x.privilege_type), '[]')
        FROM aclexplode(o.acl) x))
      ORDER BY o.kind, i.identity), '[]')
    FROM (
      SELECT kind, class, namespace, arguments, oid, owner, acl || '{}' AS acl FROM with_acl WHERE acl IS NOT NULL OFFSET 0) o,
      pg_identify_object(o.class, o.oid, 0) i
    WHERE i.identity IS NOT NULL AND (EXISTS (
      SELECT FROM aclexplode(o.acl) x
      WHERE x.grantee = 0 AND o.kind IN ('large_object', 'foreign_server', 'foreign_data_wrapper')
        OR x.grantee <> o.owner AND (x.grantee IN (SELECT oid FROM concerned)
          -- PostgreSQL and extensions grant what a predefined role is for.
          AND NOT (pg_get_userbyid(x.grantee) ~ '^(pg|rds)_' AND o.owner IN (SELECT oid FROM administrator))
        OR (x.grantor <> o.owner AND x.grantor IN (SELECT oid FROM concerned))))
      -- The routines of an extension that only some roles may execute.
      OR o.kind IN ('function', 'procedure') AND NOT EXISTS (SELECT FROM aclexplode(o.acl) x WHERE x.grantee = 0)
        AND EXISTS (
          SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
          WHERE d.classid = o.class AND d.objid = o.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND (o.owner IN (SELECT oid FROM administrator) OR e.extowner IN (SELECT oid FROM administrator))))),
  'owned', (
    SELECT coalesce(json_agg(json_build_object(
      'role', pg_get_userbyid(o.owner), 'count', o.count, 'kind', i.type, 'identity', i.identity)
      ORDER BY pg_get_userbyid(o.owner)), '[]')
    FROM (
      SELECT DISTINCT ON (owner) owner, classid, objid, count(*) OVER (PARTITION BY owner) AS count FROM owned
      WHERE classid <> 'pg_largeobject'::regclass ORDER BY owner, classid, objid) o, pg_identify_object(o.classid, o.objid, 0) i
    -- pg_identify_object ignores the snapshot, so it returns null for an object that was dropped in the meantime.
    WHERE i.identity IS NOT NULL),
  'large_object_owners', (
    SELECT coalesce(json_agg(DISTINCT pg_get_userbyid(o.owner)), '[]') FROM owned o
    WHERE o.classid = 'pg_largeobject'::regclass),
  'owners_only_superusers_replace', (
    SELECT coalesce(json_agg(DISTINCT pg_get_userbyid(owner)::text ORDER BY pg_get_userbyid(owner)::text), '[]') FROM replaced
    WHERE only_superusers),
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
    WHERE c.relkind = 'r' AND c.relnatts = cardinality($6::text[]) AND c.relowner IN (SELECT oid FROM administrator)
      AND $6 = ARRAY(
        SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum)),
  'undeclared_routine_owners', (
    SELECT coalesce(json_object_agg(pg_get_userbyid(one.owner), one.schemas ORDER BY pg_get_userbyid(one.owner)), '{}')
    FROM (
      SELECT o.owner, json_agg(DISTINCT n.nspname) AS schemas
      FROM object_of_user o JOIN pg_namespace n ON n.oid = o.namespace
      WHERE o.classid = 'pg_proc'::regclass AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND o.owner <> (SELECT datdba FROM pg_database WHERE datname = current_database())
        AND o.owner NOT IN (SELECT oid FROM concerned) AND o.owner NOT IN (SELECT oid FROM administrator)
      GROUP BY o.owner) one),
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
