-- The relations of a database in groups that are alike: one schema, owner, kind and ACL, of which counts what
-- concerns PUBLIC, the owner and the roles of $1. A group's number is the same in every query of one snapshot. Of an extension's relation the ACL is what was granted beside
-- what the extension gave (pg_init_privs).
WITH concerned AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY($1::text[])
), relation AS (
  SELECT c.oid, n.nspname, c.relname, c.relowner, pg_get_userbyid(c.relowner) AS owner,
    CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
    e.objid IS NOT NULL AS of_extension,
    CASE WHEN e.objid IS NULL THEN coalesce(c.relacl,
        acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))
      ELSE (SELECT coalesce(array_agg(i), '{}') FROM unnest(c.relacl) i
        WHERE NOT EXISTS (SELECT FROM pg_init_privs p, unnest(p.initprivs) k
          WHERE p.objoid = c.oid AND p.classoid = 'pg_class'::regclass AND p.objsubid = 0 AND k = i))
      END::text AS acl
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend e ON e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.objsubid = 0
    AND e.deptype = 'e'
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), relations AS (
  SELECT dense_rank() OVER (ORDER BY nspname, kind, owner, of_extension, acl) AS number, * FROM (
    SELECT oid, nspname, relname, owner, kind, of_extension, (
      SELECT coalesce(array_agg(i), '{}') FROM unnest(acl::aclitem[]) i WHERE EXISTS (
        SELECT FROM aclexplode(ARRAY[i]) x
        WHERE x.grantee = 0 OR x.grantee = relowner
          OR x.grantee IN (SELECT oid FROM concerned)
          OR x.grantor <> relowner AND x.grantor IN (SELECT oid FROM concerned)))::text AS acl
    FROM relation) concerning
)
