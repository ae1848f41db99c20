-- Selects the objects of an owner that a transfer gives to another role. plan/sql/code.sql follows.
-- $1: the owner, $2: whether the objects are transferred one by one: then, objects of extensions and event triggers are
-- not transferred. $3: the only schemas whose objects are transferred, or null for all; without $2, these schemas themselves
-- are transferred, without the objects in them. $4: the new owner, which need not
-- exist yet. $5: the roles whose objects and schemas do not count: both owners, the administrator and the creators. $6: the
-- schemas that an application covers.
WITH RECURSIVE handed_over AS (
  SELECT s.classid, s.objid FROM pg_shdepend s CROSS JOIN pg_identify_object(s.classid, s.objid, s.objsubid) i
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND ($3::text[] IS NULL OR $2 AND i.schema IN (SELECT quote_ident(name) FROM unnest($3) name))
    AND NOT ($2 AND (s.classid = 'pg_event_trigger'::regclass OR EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid AND d.objsubid = 0 AND d.deptype = 'e')))
  -- With REASSIGN OWNED, the database with its settings, and its subscriptions. All databases share these catalogs.
  UNION ALL SELECT 'pg_database'::regclass, d.oid FROM pg_database d WHERE d.datname = current_database() AND NOT $2 AND $3 IS NULL
  UNION ALL SELECT 'pg_subscription'::regclass, s.oid FROM pg_subscription s
  WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND pg_get_userbyid(s.subowner) = $1 AND NOT $2 AND $3 IS NULL
  UNION ALL SELECT 'pg_namespace'::regclass, n.oid FROM pg_namespace n WHERE n.nspname = ANY ($3) AND NOT $2
), party AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname IN ($1, $4)
), insider AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY ($5::text[])
), covered AS (
  SELECT name FROM unnest($6::text[]) name
)
