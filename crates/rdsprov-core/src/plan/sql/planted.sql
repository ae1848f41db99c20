-- Finds the objects and schemas of other roles in the database. A query that does not name a schema can mean them, if the
-- search_path contains it: it decides which operator, cast, function or table is meant, and each role, session and database
-- can have another one. A part of a WITH clause, after `object` (objects.sql), `insider` (the OIDs of the roles whose objects
-- do not count) and `covered` (the names of the schemas that applications cover). The list of the code
-- (server/queries/handed_over_code.sql) and its fingerprint (fingerprint.sql) use the same text.
, planted AS (
  SELECT o.classid, o.objid, o.owner, n.nspname AS schema
  FROM object o JOIN pg_roles r ON r.oid = o.owner LEFT JOIN pg_namespace n ON n.oid = o.namespace
  LEFT JOIN pg_namespace itself ON o.classid = 'pg_namespace'::regclass AND itself.oid = o.objid
  -- Event triggers are executed by all roles. A covered schema of another role gets the new owner, or is refused.
  WHERE (n.oid IS NOT NULL OR o.classid = 'pg_event_trigger'::regclass
      OR itself.nspname NOT IN (SELECT name FROM covered) AND r.rolname <> 'pg_database_owner')
    AND NOT r.rolsuper AND r.oid NOT IN (SELECT oid FROM insider) AND coalesce(n.nspname, '') !~ '^pg_(toast_)?temp_'
    AND NOT EXISTS (
      SELECT FROM pg_depend d LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
      WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0
        -- The sequences of columns, and what is a part of another object, such as row types.
        AND (d.deptype = 'i' OR d.deptype = 'a' AND c.relkind = 'S'))
)
