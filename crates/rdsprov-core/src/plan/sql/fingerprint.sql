-- Returns the fingerprint of the code in objects that get another owner: a hash of its catalog rows, of the objects and
-- schemas of other roles, and of the privileges with which other roles add code to the objects later. It depends on neither
-- the owner of these objects nor the privileges of both owners. handed_over, party (the OIDs of both owners), code.sql and
-- planted.sql precede it.
, privilege AS (
  SELECT h.classid, jsonb_build_array(c.oid, x.grantee, x.privilege_type)::text AS definition
  FROM handed_over h JOIN pg_class c ON h.classid = 'pg_class'::regclass AND c.oid = h.objid
  JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (
    SELECT * FROM aclexplode(c.relacl)
    UNION SELECT x.* FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) x WHERE a.attrelid = c.oid) x
  WHERE x.privilege_type IN ('TRIGGER', 'REFERENCES') AND x.grantee NOT IN (SELECT oid FROM party) AND n.nspname !~ '^pg_(toast_)?temp_'
  UNION SELECT h.classid, jsonb_build_array(n.oid, x.grantee, x.privilege_type)::text
  FROM handed_over h JOIN pg_namespace n ON h.classid = 'pg_namespace'::regclass AND n.oid = h.objid
  CROSS JOIN aclexplode(n.nspacl) x
  WHERE x.privilege_type = 'CREATE' AND x.grantee NOT IN (SELECT oid FROM party)
), hashed AS (
  SELECT e.classid, e.definition::text AS definition FROM expression e
  LEFT JOIN (SELECT DISTINCT classid, objid FROM called) c ON c.classid = e.classid AND c.objid = e.objid
  WHERE e.is_code OR c.objid IS NOT NULL
  -- Of other roles, too.
  UNION ALL SELECT 'pg_proc'::regclass, (to_jsonb(p) - 'proowner' - 'proacl')::text FROM pg_proc p
  WHERE p.oid IN (SELECT function FROM called) AND p.oid >= 16384
  UNION ALL SELECT o.classid, 'of another role: ' || o.objid FROM of_others o
  UNION ALL SELECT p.classid, format('of role %s: %s', p.owner, p.objid) FROM planted p
  -- The settings of the database, if its owner changes. Those of roles are declared.
  UNION ALL SELECT 'pg_db_role_setting'::regclass, s.setconfig::text
  FROM handed_over h JOIN pg_db_role_setting s ON h.classid = 'pg_database'::regclass AND s.setdatabase = h.objid
  WHERE s.setrole = 0
  UNION ALL SELECT classid, definition FROM privilege
), hash AS (
  -- The conversion to the encoding of the database changes nothing and cannot fail.
  SELECT sha256(convert_to(classid::text || definition, getdatabaseencoding()::text)) AS hash FROM hashed
)
SELECT 'sha256:' || encode(sha256(coalesce(string_agg(hash, ''::bytea ORDER BY hash), '')), 'hex') FROM hash
