-- What the administrator owns in a database and can be given away one by one: parts of a table go with it,
-- and what belongs to an extension stays with that.
SELECT (SELECT coalesce(json_agg(json_build_object('kind',
    upper(replace(CASE i.type WHEN 'statistics object' THEN 'statistics' ELSE i.type END, '-', ' ')), 'identity', i.identity)
    ORDER BY i.type <> 'schema', i.type, i.identity), '[]')
  FROM pg_shdepend s, pg_identify_object(s.classid, s.objid, s.objsubid) i
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    AND i.type <> ALL (ARRAY['extension', 'default acl', 'user mapping', 'language', 'event trigger'])
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid
        AND (d.deptype IN ('e', 'i') OR (d.deptype = 'a' AND i.type = 'sequence'))))::text
