-- What is inside one database, as one JSON document of the shape of `Contents`. Relations are grouped
-- in the server: those of one schema, owner, kind and ACL are one row.
WITH acl_of AS (
  SELECT n.nspname, c.relowner,
         CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
         coalesce(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))::text AS acl,
         EXISTS (
           SELECT FROM pg_catalog.pg_depend e
           WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') AS of_extension,
         json_agg(c.relname ORDER BY c.relname) AS names
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  GROUP BY 1, 2, 3, 4, 5
), relations AS (
  SELECT a.nspname, json_agg(json_build_object(
    'owner', pg_catalog.pg_get_userbyid(a.relowner), 'kind', a.kind,
    'of_extension', a.of_extension, 'names', a.names,
    'acl', (
      SELECT coalesce(json_agg(json_build_object(
        'grantee', g.rolname, 'grantor', pg_catalog.pg_get_userbyid(x.grantor),
        'privilege', x.privilege_type, 'grantable', x.is_grantable)
        ORDER BY g.rolname, x.privilege_type), '[]')
      FROM pg_catalog.aclexplode(a.acl::aclitem[]) x LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee))
    ORDER BY a.kind, pg_catalog.pg_get_userbyid(a.relowner), a.acl) AS groups
  FROM acl_of a GROUP BY a.nspname
)
SELECT json_build_object(
  'schemas', (
    SELECT coalesce(json_object_agg(n.nspname, json_build_object(
      'owner', pg_catalog.pg_get_userbyid(n.nspowner),
      'acl', (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', g.rolname, 'grantor', pg_catalog.pg_get_userbyid(x.grantor),
          'privilege', x.privilege_type, 'grantable', x.is_grantable)
          ORDER BY g.rolname, x.privilege_type), '[]')
        FROM pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) x
        LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee),
      'relations', coalesce((SELECT r.groups FROM relations r WHERE r.nspname = n.nspname), '[]'))
      ORDER BY n.nspname), '{}')
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
  'default_privileges', (
    SELECT coalesce(json_agg(json_build_object(
      'role', pg_catalog.pg_get_userbyid(d.defaclrole), 'schema', n.nspname,
      'kind', CASE d.defaclobjtype WHEN 'S' THEN 'sequence' ELSE 'table' END,
      'acl', (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', g.rolname, 'grantor', pg_catalog.pg_get_userbyid(x.grantor),
          'privilege', x.privilege_type, 'grantable', x.is_grantable)
          ORDER BY g.rolname, x.privilege_type), '[]')
        FROM pg_catalog.aclexplode(d.defaclacl) x LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee))
      ORDER BY pg_catalog.pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype), '[]')
    FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    WHERE d.defaclobjtype IN ('r', 'S'))
)::text
