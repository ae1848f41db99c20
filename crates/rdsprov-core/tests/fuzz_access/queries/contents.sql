-- Returns the contents of one database, each object with its owner and ACL, as one JSON document.
-- Default privileges without a role are the built-in ones.
WITH namespaces AS (
  SELECT * FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), objects AS (
  SELECT 'schema' AS class, n.nspname::text AS schema, n.nspname::text AS name, '' AS part, '' AS detail,
         n.nspowner AS owner, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl,
         'pg_namespace'::regclass AS catalog, n.oid
  FROM namespaces n
  UNION ALL
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, '', c.relkind::text,
         c.relowner, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)),
         'pg_class'::regclass, c.oid
  FROM pg_class c JOIN namespaces n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT 'column', n.nspname, c.relname, a.attname, '', c.relowner, a.attacl,
         'pg_class'::regclass, c.oid
  FROM pg_class c JOIN namespaces n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT 'routine', n.nspname, format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), '', '',
         p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), 'pg_proc'::regclass, p.oid
  FROM pg_proc p JOIN namespaces n ON n.oid = p.pronamespace
  UNION ALL
  SELECT 'type', n.nspname, t.typname, '', '', t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)),
         'pg_type'::regclass, t.oid
  FROM pg_type t JOIN namespaces n ON n.oid = t.typnamespace WHERE t.typtype IN ('d', 'e')
  UNION ALL
  SELECT 'language', '', l.lanname, '', '', l.lanowner, coalesce(l.lanacl, acldefault('l', l.lanowner)),
         'pg_language'::regclass, l.oid
  FROM pg_language l
  UNION ALL
  SELECT 'large_object', '', o.oid::text, '', '', o.lomowner, coalesce(o.lomacl, acldefault('L', o.lomowner)),
         'pg_largeobject_metadata'::regclass, o.oid
  FROM pg_largeobject_metadata o
  UNION ALL
  SELECT 'foreign_server', '', s.srvname, '', '', s.srvowner, coalesce(s.srvacl, acldefault('S', s.srvowner)),
         'pg_foreign_server'::regclass, s.oid
  FROM pg_foreign_server s
  UNION ALL
  SELECT 'wrapper', '', w.fdwname, '', '', w.fdwowner, coalesce(w.fdwacl, acldefault('F', w.fdwowner)),
         'pg_foreign_data_wrapper'::regclass, w.oid
  FROM pg_foreign_data_wrapper w
  UNION ALL
  -- All other objects that have an owner but no ACL.
  SELECT 'other', coalesce(i.schema, ''), i.type || ' ' || i.identity, '', '', s.refobjid, NULL, s.classid, s.objid
  FROM pg_shdepend s CROSS JOIN pg_identify_object(s.classid, s.objid, 0) i
  LEFT JOIN pg_type t ON s.classid = 'pg_type'::regclass AND t.oid = s.objid
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND coalesce(t.typtype, 'r') NOT IN ('d', 'e')
    AND s.classid <> ALL (ARRAY['pg_namespace', 'pg_class', 'pg_proc', 'pg_language', 'pg_largeobject',
      'pg_foreign_server', 'pg_foreign_data_wrapper', 'pg_extension', 'pg_default_acl', 'pg_user_mapping']::regclass[])
), defaults AS (
  SELECT pg_get_userbyid(d.defaclrole)::text AS creator, n.nspname::text AS schema, d.defaclobjtype::text AS kind,
         d.defaclacl AS acl
  FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
  UNION ALL
  SELECT NULL, NULL, k.kind, acldefault(k.builtin, 10)
  FROM (VALUES ('r', 'r'::"char"), ('S', 's'), ('f', 'f'), ('T', 'T'), ('n', 'n'), ('L', 'L')) k(kind, builtin)
)
SELECT json_build_object(
  'objects', (
    SELECT json_agg(json_build_object(
      'class', t.class, 'schema', t.schema, 'name', t.name, 'part', t.part, 'detail', t.detail,
      'owner', pg_get_userbyid(t.owner),
      'of_extension', EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = t.catalog AND e.objid = t.oid AND e.deptype = 'e'),
      'acl', coalesce((
        SELECT json_agg(json_build_array(
          CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END, pg_get_userbyid(x.grantor),
          x.privilege_type, x.is_grantable))
        FROM aclexplode(t.acl) x), '[]')))
    FROM objects t),
  'defaults', (
    SELECT json_agg(json_build_object(
      'creator', d.creator, 'schema', d.schema, 'kind', d.kind,
      'acl', coalesce((
        SELECT json_agg(json_build_array(
          CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END, pg_get_userbyid(x.grantor),
          x.privilege_type, x.is_grantable))
        FROM aclexplode(d.acl) x), '[]')))
    FROM defaults d),
  'of_the_system', (
    SELECT md5(string_agg(s.acl, ' ' ORDER BY s.catalog, s.oid)) FROM (
      SELECT 1 AS catalog, oid, relacl::text AS acl, relnamespace AS namespace FROM pg_class WHERE relacl IS NOT NULL
      UNION ALL SELECT 2, oid, proacl::text, pronamespace FROM pg_proc WHERE proacl IS NOT NULL
      UNION ALL SELECT 3, oid, typacl::text, typnamespace FROM pg_type WHERE typacl IS NOT NULL
      UNION ALL SELECT 4, oid, nspacl::text, oid FROM pg_namespace WHERE nspacl IS NOT NULL
    ) s WHERE s.namespace NOT IN (SELECT oid FROM namespaces))
)::text
