-- Finds in the objects that a role has just received the code that its sessions would execute, and the privileges with
-- which other roles could add such code. `WITH received AS (SELECT classid, objid ...)` precedes it, in a block of PL/pgSQL
-- with the variable `new_owner`. It is a part of the statements that a user executes, and is therefore
-- shorter and stricter than code.sql: each operator counts, for example.
, relation AS (
  SELECT c.oid, c.relacl FROM received r JOIN pg_class c ON r.classid = 'pg_class'::regclass AND c.oid = r.objid
), part AS (
  -- The objects, and the defaults, constraints, indexes, statistics and rules that belong to relations and types.
  SELECT classid, objid FROM received WHERE classid IN ('pg_class'::regclass, 'pg_type'::regclass)
  UNION SELECT d.classid, d.objid FROM received r JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid
  WHERE r.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND d.deptype IN ('a', 'i')
), trusted AS (
  SELECT oid FROM pg_roles WHERE rolsuper OR oid = new_owner OR rolname IN (current_user, 'pg_database_owner')
), code AS (
  SELECT r.classid, r.objid FROM received r
  LEFT JOIN pg_proc p ON r.classid = 'pg_proc'::regclass AND p.oid = r.objid
  LEFT JOIN pg_class c ON r.classid = 'pg_class'::regclass AND c.oid = r.objid
  WHERE CASE r.classid WHEN 'pg_proc'::regclass THEN p.prosecdef OR p.prokind = 'a'
    WHEN 'pg_class'::regclass THEN c.relkind = 'f'
    ELSE r.classid NOT IN ('pg_type'::regclass, 'pg_namespace'::regclass, 'pg_database'::regclass, 'pg_default_acl'::regclass,
      'pg_largeobject'::regclass, 'pg_statistic_ext'::regclass, 'pg_publication'::regclass, 'pg_collation'::regclass,
      'pg_ts_config'::regclass, 'pg_ts_dict'::regclass) END
  UNION SELECT 'pg_trigger'::regclass, t.oid FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
  WHERE NOT t.tgisinternal OR t.tgfoid >= 16384
  UNION SELECT 'pg_rewrite'::regclass, w.oid FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
  UNION SELECT 'pg_policy'::regclass, p.oid FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
  -- What calls functions: pg_depend contains those of users. The other functions are in the stored expression only.
  UNION SELECT p.classid, p.objid FROM part p JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
  WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
  UNION SELECT e.classid, e.objid FROM (
    SELECT p.classid, p.objid, coalesce(a.adbin, c.conbin, w.ev_action)::text FROM part p
    LEFT JOIN pg_attrdef a ON p.classid = 'pg_attrdef'::regclass AND a.oid = p.objid
    LEFT JOIN pg_constraint c ON p.classid = 'pg_constraint'::regclass AND c.oid = p.objid
    LEFT JOIN pg_rewrite w ON p.classid = 'pg_rewrite'::regclass AND w.oid = p.objid
  ) e(classid, objid, tree) CROSS JOIN LATERAL regexp_matches(e.tree, ':(?:funcid|opfuncid) ([0-9]+)', 'g') f(match)
  JOIN pg_proc p ON p.oid::text = f.match[1]
  WHERE p.provolatile = 'v' AND p.proname NOT IN ('nextval', 'random', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'clock_timestamp')
  -- Views read other relations with the privileges of their owner.
  UNION SELECT p.classid, p.objid FROM part p JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
  WHERE p.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid >= 16384
    AND d.refobjid NOT IN (SELECT oid FROM relation)
  -- Partitions, other children and parents, tables of foreign keys, and types of columns, of other roles.
  UNION SELECT 'pg_class'::regclass, o.oid FROM (
    SELECT i.inhrelid FROM relation r JOIN pg_inherits i ON i.inhparent = r.oid
    UNION SELECT i.inhparent FROM relation r JOIN pg_inherits i ON i.inhrelid = r.oid
    UNION SELECT k.conrelid FROM relation r JOIN pg_constraint k ON k.confrelid = r.oid AND k.contype = 'f'
    WHERE k.confupdtype NOT IN ('a', 'r') OR k.confdeltype NOT IN ('a', 'r')) i(relation)
  JOIN pg_class o ON o.oid = i.relation WHERE o.relowner NOT IN (SELECT oid FROM trusted)
  UNION SELECT 'pg_type'::regclass, t.oid FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
  JOIN pg_type t ON t.oid = a.atttypid WHERE t.oid >= 16384 AND t.typowner NOT IN (SELECT oid FROM trusted)
), named AS (
  SELECT pg_describe_object(classid, objid, 0) AS name FROM code
  UNION SELECT format('%s of %s on %s', x.privilege_type, coalesce('role ' || g.rolname, 'PUBLIC'), x.object)
  FROM (
    SELECT a.grantee, a.privilege_type, pg_describe_object('pg_class'::regclass, r.oid, 0)
    FROM relation r CROSS JOIN LATERAL (
      SELECT * FROM aclexplode(r.relacl)
      UNION SELECT y.* FROM pg_attribute c CROSS JOIN aclexplode(c.attacl) y WHERE c.attrelid = r.oid) a
    WHERE a.privilege_type IN ('TRIGGER', 'REFERENCES')
    UNION SELECT a.grantee, a.privilege_type, pg_describe_object('pg_namespace'::regclass, n.oid, 0)
    FROM received r JOIN pg_namespace n ON r.classid = 'pg_namespace'::regclass AND n.oid = r.objid
    CROSS JOIN aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE'
  ) x(grantee, privilege_type, object) LEFT JOIN pg_roles g ON g.oid = x.grantee
  WHERE x.grantee NOT IN (SELECT oid FROM trusted)
)
-- The names are those that a role has chosen, and the message is printed as it is.
SELECT string_agg(regexp_replace(name, '[^ -~]', '?', 'g'), ', ' ORDER BY number) FILTER (WHERE number <= 5)
  || CASE WHEN count(*) > 5 THEN format(' and %s more', count(*) - 5) ELSE '' END
FROM (SELECT name, row_number() OVER (ORDER BY name) AS number FROM named) numbered
