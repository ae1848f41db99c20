-- Returns the objects whose privileges and owners a plan needs besides those of database.sql, as one JSON document that
-- deserializes to `Objects`; concerned.sql and objects.sql of plan/sql precede it. size.sql says where it would return none.
-- $3: the OIDs of the only roles whose large objects are returned: each role that can connect can create some. $4: the
-- declared owner of the database, or null. $5: the OID of the administrator. The current role can be another one.
-- `|| '{}'` decompresses a long ACL once, see cluster.sql. 'extension': see database.sql.
, with_acl AS (
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
)
SELECT json_build_object(
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
  'undeclared_routine_owners', (
    SELECT coalesce(json_object_agg(pg_get_userbyid(one.owner), one.schemas ORDER BY pg_get_userbyid(one.owner)), '{}')
    FROM (
      SELECT o.owner, json_agg(DISTINCT n.nspname) AS schemas
      FROM object_of_user o JOIN pg_namespace n ON n.oid = o.namespace
      WHERE o.classid = 'pg_proc'::regclass AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND o.owner <> (SELECT datdba FROM pg_database WHERE datname = current_database())
        AND o.owner NOT IN (SELECT oid FROM concerned) AND o.owner NOT IN (SELECT oid FROM administrator)
      GROUP BY o.owner) one)
)::text
