-- Returns what prevents that each of the databases $1 is dropped, as one JSON document: the roles with sessions,
-- all subscriptions, and the roles that own something in the database or have privileges there (pg_shdepend,
-- which all databases share). Left out are the sessions of the current role with the name of this program: they end
-- with the observation. The session of an active replication slot is one of these sessions; a slot that is not
-- active is dropped with its database. Large objects and default privileges do not count: a role that can only connect
-- to the template leaves them in each database, and a role that uses the database has a privilege on it, too.
SELECT coalesce(json_object_agg(d.datname, json_build_object(
  'sessions', (
    SELECT coalesce(json_agg(DISTINCT s.usename), '[]') FROM pg_catalog.pg_stat_activity s
    WHERE s.datid = d.oid AND s.usename IS NOT NULL
      AND NOT (s.usename = current_user AND s.application_name LIKE 'rdsprov%')),
  'subscriptions', (
    SELECT coalesce(json_object_agg(s.subname, r.rolname ORDER BY s.subname), '{}')
    FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_roles r ON r.oid = s.subowner WHERE s.subdbid = d.oid),
  'dependents', (
    SELECT coalesce(json_agg(DISTINCT r.rolname), '[]')
    FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass
      AND s.classid NOT IN ('pg_catalog.pg_largeobject'::regclass, 'pg_catalog.pg_default_acl'::regclass)
      AND (s.dbid = d.oid OR s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::regclass AND s.objid = d.oid))
  )), '{}')::text
FROM pg_catalog.pg_database d WHERE d.datname = ANY ($1::text[]::name[])
