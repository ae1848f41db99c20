-- The common table expressions with which database.sql and names.sql begin, after concerned.sql: the relations of a database
-- in groups with the same schema, owner, kind and ACL. An ACL is limited to PUBLIC, the owner, the roles that the run is
-- about, and the roles to which these granted privileges.
-- The number of a group is the same in all queries of one snapshot.
-- Many relations have the same ACL, so that the relations are grouped before any item of an ACL is looked at. PostgreSQL
-- can hash ACLs but not sort them: the time is linear, whatever it expects of the number of groups.
-- The owner of a database decides how many rows the catalogs have, and the estimates of PostgreSQL can be far too low.
-- It then chooses nested loops over whole catalogs. So these queries look up single rows in subqueries, for which
-- PostgreSQL always chooses the index (OFFSET 0 keeps such a subquery apart), and join only what has good estimates.
-- For the relations of an extension, only the privileges that the extension granted to PUBLIC are returned: the other
-- entries of pg_init_privs come from default privileges.
-- The owner of an extension can add relations that it owns to it (ALTER EXTENSION ... ADD), and pg_init_privs then
-- contains their privileges of that moment. So objects belong to an extension only if an administrator owns them.
-- The objects of an extension that PostgreSQL trusts belong to the bootstrap superuser.
relation AS NOT MATERIALIZED (
  SELECT c.oid, c.relname, c.relnamespace, c.relowner,
    CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
    a.oid IS NOT NULL AND EXISTS (
      SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.objsubid = 0
        AND e.deptype = 'e') AS of_extension,
    CASE WHEN a.oid IS NOT NULL THEN coalesce((
      SELECT array_agg(DISTINCT x.privilege_type) FROM pg_init_privs p, aclexplode(p.initprivs) x
      WHERE p.objoid = c.oid AND p.classoid = 'pg_class'::regclass AND p.objsubid = 0 AND p.privtype = 'e'
        AND x.grantee = 0), '{}') ELSE '{}' END AS given,
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)) AS raw
  FROM pg_class c LEFT JOIN administrator a ON a.oid = c.relowner
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relnamespace IN (
    SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
), relations AS (
  SELECT dense_rank() OVER (ORDER BY nspname, kind, owner, of_extension, given, acl) AS number, * FROM (
    SELECT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = relnamespace) AS nspname,
      pg_get_userbyid(relowner) AS owner, relnamespace, relowner, kind, of_extension, given, raw, count, (
        SELECT coalesce(array_agg(i), '{}') FROM unnest(raw) i WHERE EXISTS (
          SELECT FROM aclexplode(ARRAY[i]) x
          WHERE x.grantee = 0 OR x.grantee = relowner
            OR x.grantee IN (SELECT oid FROM concerned)
            OR x.grantee = ANY(granted_on)))::text AS acl
    FROM (
      SELECT relnamespace, relowner, kind, of_extension, given, raw, count(*) AS count FROM relation
      GROUP BY relnamespace, relowner, kind, of_extension, given, raw) one, LATERAL (
      SELECT array_agg(x.grantee) AS granted_on FROM aclexplode(raw) x
      WHERE x.grantor <> relowner AND x.grantor IN (SELECT oid FROM concerned)) others) limited
)
