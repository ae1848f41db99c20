-- Finds the objects of other roles in the schemas that the search_path of a new owner contains: it decides which operator,
-- cast or function a query means. A part of a WITH clause, after `object` (objects.sql), `searched` (the names of the
-- schemas) and `insider` (the OIDs of the roles whose objects do not count). The list of the code
-- (server/queries/handed_over_code.sql) and its fingerprint (fingerprint.sql) use the same text.
, in_search_path AS (
  SELECT o.classid, o.objid, o.owner, n.nspname AS schema
  FROM object o JOIN pg_namespace n ON n.oid = o.namespace JOIN pg_roles r ON r.oid = o.owner
  -- Each owner of the database is a member of pg_database_owner, and can give it objects.
  WHERE (n.nspname IN (SELECT name FROM searched) OR r.rolname = 'pg_database_owner')
    AND NOT r.rolsuper AND r.oid NOT IN (SELECT oid FROM insider) AND n.nspname !~ '^pg_(toast_)?temp_'
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0
        AND (d.deptype = 'i' OR d.deptype = 'a' AND d.classid = 'pg_class'::regclass))
)
