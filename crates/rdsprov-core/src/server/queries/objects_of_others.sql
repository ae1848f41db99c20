-- Returns the objects of roles that are not administrators, as one JSON document that deserializes to a list of
-- `ObjectsOfRole`. Of each role, the first objects are named, functions first. $1: the only roles, or null for all: in
-- template1, a new database copies the objects of each role.
-- $2: the OIDs of the administrators. It continues a WITH clause that contains `object`, see objects.sql. The owner of the
-- database counts as an administrator.
-- Large objects and default privileges are not returned: each role that can connect can create them, and they contain
-- nothing that another role executes.
, administrator AS MATERIALIZED (
  SELECT unnest($2::oid[]) AS oid
), database AS (
  SELECT datdba FROM pg_database WHERE datname = current_database()
), found AS (
  SELECT o.* FROM object o LEFT JOIN pg_namespace n ON n.oid = o.namespace
  WHERE o.owner NOT IN (SELECT oid FROM administrator) AND o.owner <> (SELECT datdba FROM database)
    AND ($1::text[] IS NULL OR o.owner IN (SELECT oid FROM pg_roles WHERE rolname = ANY($1)))
    AND pg_get_userbyid(o.owner) <> 'pg_database_owner' AND coalesce(n.nspname, '') !~ '^pg_(toast_)?temp_'
), owned AS (
  SELECT o.classid, o.objid, o.owner, o.namespace, row_number() OVER (
    PARTITION BY o.owner ORDER BY o.classid <> 'pg_proc'::regclass, o.classid, o.objid) AS number
  FROM found o
  -- Not the row type of a table, the sequence of a column, nor what belongs to an extension of such a role.
  WHERE NOT EXISTS (
    SELECT FROM pg_depend d LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0 AND (
      d.deptype = 'i' OR d.deptype = 'a' AND c.relkind = 'S'
      OR d.deptype = 'e' AND d.refobjid IN (SELECT objid FROM found WHERE classid = 'pg_extension'::regclass)))
), named AS (
  SELECT o.owner, o.number,
    upper(replace(CASE i.type WHEN 'statistics object' THEN 'statistics' WHEN 'composite type' THEN 'type' ELSE i.type END, '-', ' ')) AS kind,
    -- `*` for an aggregate without arguments. For a procedure with the modes of the arguments, because two procedures
    -- of one name can differ in the modes only.
    CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN format('%s.%I(*)', i.schema, p.proname)
      WHEN p.prokind = 'p' THEN format('%s.%I(%s)', i.schema, p.proname, pg_get_function_identity_arguments(p.oid))
      ELSE i.identity END AS identity
  FROM owned o CROSS JOIN pg_identify_object(o.classid, o.objid, 0) i
  LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
  WHERE o.number <= 100
)
SELECT coalesce(json_agg(json_build_object(
  'role', pg_get_userbyid(r.owner), 'count', r.count,
  'first', (
    SELECT coalesce(json_agg(json_build_object('kind', n.kind, 'identity', n.identity) ORDER BY n.number), '[]')
    FROM named n WHERE n.owner = r.owner AND n.identity IS NOT NULL),
  'dropped_by', r.dropped_by) ORDER BY pg_get_userbyid(r.owner)), '[]')::text
FROM (
  SELECT o.owner, count(*) AS count,
    -- The only member of pg_database_owner is the owner of template1.
    json_agg(DISTINCT pg_get_userbyid(CASE WHEN n.oid IS NULL THEN o.owner
      WHEN pg_get_userbyid(n.nspowner) = 'pg_database_owner' THEN (SELECT datdba FROM database) ELSE n.nspowner END)) AS dropped_by
  FROM owned o LEFT JOIN pg_namespace n ON n.oid = o.namespace GROUP BY o.owner) r
