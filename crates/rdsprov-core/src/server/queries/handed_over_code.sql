-- Returns the code that a new owner gets, as one JSON document that deserializes to a list of `Code`. handed_over.sql,
-- plan/sql/code.sql, `object` (plan/sql/objects.sql) and plan/sql/planted.sql precede it, with $1 to $6.
-- Of the objects of the administrator ($2), only the code that other roles planted counts. An administrator writes no such
-- code for itself, but other roles can own the functions that it calls, and add triggers to its tables.
, trusted AS (
  SELECT oid FROM pg_roles WHERE $2 AND (rolsuper OR rolname = $1)
), code AS (
  SELECT e.classid, e.objid, e.schema FROM expression e LEFT JOIN pg_proc p ON e.classid = 'pg_proc'::regclass AND p.oid = e.objid
  WHERE (e.owner IS NULL OR e.owner NOT IN (SELECT oid FROM trusted)) AND (
    e.classid IN (
      'pg_trigger'::regclass, 'pg_event_trigger'::regclass, 'pg_subscription'::regclass, 'pg_foreign_table'::regclass,
      'pg_foreign_server'::regclass, 'pg_user_mapping'::regclass)
    OR p.prosecdef
    OR e.classid = 'pg_rewrite'::regclass AND e.definition->>'rulename' <> '_RETURN')
  UNION SELECT e.classid, e.objid, e.schema FROM expression e JOIN called c ON c.classid = e.classid AND c.objid = e.objid
  LEFT JOIN pg_proc p ON e.classid = 'pg_proc'::regclass AND p.oid = e.objid
  WHERE (p.prokind IS NULL OR p.prokind = 'a')
    -- The functions of PostgreSQL are trusted as the function of a trigger, but not in its condition.
    AND NOT (e.owner IN (SELECT oid FROM trusted) AND c.owner IN (SELECT oid FROM trusted)
      AND (e.classid <> 'pg_trigger'::regclass OR pg_get_userbyid(c.owner) = $1))
    AND NOT (e.owner IS NULL AND c.owner IN (SELECT oid FROM trusted))
  -- Views read relations with the privileges of their owner. Policies read them as the role that uses the table.
  UNION SELECT e.classid, e.objid, e.schema FROM expression e
  JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class c ON c.oid = d.refobjid
  WHERE (e.classid = 'pg_policy'::regclass OR e.classid = 'pg_rewrite'::regclass AND e.definition->>'rulename' = '_RETURN')
    AND c.oid >= 16384
    AND c.relowner <> e.owner AND c.relowner NOT IN (SELECT oid FROM trusted)
    AND NOT ($2 AND pg_get_userbyid(c.relowner) = $4)
), privilege AS (
  -- With these, another role adds code later, which the new owner executes: a trigger, a foreign key whose table has
  -- triggers, an object in a schema of its search_path, or a schema with its name. A plan revokes what
  -- PUBLIC has on the database, on schema public, on covered schemas, and on the objects in these.
  SELECT x.grantee, 'pg_class'::regclass AS class, x.privilege_type, i.identity, i.schema FROM handed_over h
  JOIN pg_class c ON h.classid = 'pg_class'::regclass AND c.oid = h.objid
  CROSS JOIN LATERAL (
    SELECT * FROM aclexplode(c.relacl)
    UNION SELECT x.* FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) x WHERE a.attrelid = c.oid) x
  CROSS JOIN pg_identify_object(h.classid, h.objid, 0) i
  WHERE x.privilege_type IN ('TRIGGER', 'REFERENCES')
  UNION ALL
  SELECT x.grantee, 'pg_namespace'::regclass, x.privilege_type, 'schema ' || quote_ident(n.nspname), quote_ident(n.nspname)
  FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) x
  WHERE x.privilege_type = 'CREATE' AND ($3 IS NULL OR NOT $2 AND n.nspname = ANY ($3)) AND x.grantee <> n.nspowner
  UNION ALL
  SELECT x.grantee, 'pg_database'::regclass, x.privilege_type, 'the database', NULL FROM pg_database d
  CROSS JOIN aclexplode(d.datacl) x
  WHERE x.privilege_type = 'CREATE' AND $3 IS NULL AND x.grantee <> 0
    AND d.datname = current_database() AND pg_get_userbyid(d.datdba) = $1
), kept AS (
  SELECT coalesce('role ' || r.rolname, 'PUBLIC') AS grantee, p.class, p.privilege_type, min(p.identity) AS first,
    count(DISTINCT p.identity) - 1 AS others
  FROM privilege p LEFT JOIN pg_roles r ON r.oid = p.grantee
  WHERE CASE WHEN p.grantee = 0 THEN p.schema NOT IN (SELECT quote_ident(name) FROM covered)
      AND (p.class <> 'pg_namespace'::regclass OR p.schema <> 'public')
    ELSE NOT r.rolsuper AND r.rolname <> 'pg_database_owner' AND r.oid NOT IN (SELECT oid FROM insider) END
  GROUP BY 1, 2, 3
), used AS (
  -- Partitions, children, parents and types of other roles, and the functions that the code calls.
  SELECT classid, objid, owner, schema FROM of_others
  UNION SELECT 'pg_proc'::regclass, p.oid, c.owner, n.nspname
  FROM called c JOIN pg_proc p ON p.oid = c.function JOIN pg_namespace n ON n.oid = p.pronamespace
), other AS (
  SELECT classid, objid, owner, schema, 0 AS number, 0 AS count FROM used
  -- A role can have any number of objects.
  UNION ALL SELECT classid, objid, owner, schema, row_number() OVER (of_role ORDER BY classid, objid), count(*) OVER of_role
  FROM (SELECT classid, objid, owner, schema FROM planted WHERE $3 IS NULL OR NOT $2 AND schema = ANY ($3) EXCEPT SELECT * FROM used) p
  WINDOW of_role AS (PARTITION BY owner, schema)
), of_role AS (
  SELECT o.*, r.rolname FROM other o JOIN pg_roles r ON r.oid = o.owner
  WHERE NOT r.rolsuper AND r.oid NOT IN (SELECT oid FROM insider)
), listed AS (
  SELECT i.type AS kind, c.schema, i.identity AS name FROM code c
  LEFT JOIN pg_rewrite w ON c.classid = 'pg_rewrite'::regclass AND w.oid = c.objid AND w.rulename = '_RETURN'
  CROSS JOIN pg_identify_object(
    CASE WHEN w.oid IS NULL AND c.classid <> 'pg_foreign_table'::regclass THEN c.classid ELSE 'pg_class'::regclass END,
    coalesce(w.ev_class, c.objid), 0) i
  WHERE i.identity IS NOT NULL
  -- Their owners can change them at any time.
  UNION SELECT i.type, o.schema, format('%s of role %s', i.identity, o.rolname)
  FROM of_role o CROSS JOIN pg_identify_object(o.classid, o.objid, 0) i WHERE o.number <= 10
  UNION ALL SELECT 'object', schema, format('%s more%s of role %s', count - 10, ' in schema ' || quote_ident(schema), rolname)
  FROM of_role WHERE number = 11
  UNION ALL SELECT 'privilege', NULL, format('%s of %s on %s', privilege_type, grantee,
    first || CASE others WHEN 0 THEN '' ELSE format(' and %s more', others) END) FROM kept
  -- A stored value can be in another encoding, in which it cannot be cut. Applications store secrets in parameters of
  -- their own, whose names contain a dot.
  UNION ALL SELECT 'setting', NULL, CASE WHEN octet_length(o.option_value) <= 200 AND strpos(o.option_name, '.') = 0
    THEN format('%s = %s', o.option_name, o.option_value) ELSE o.option_name END
  FROM handed_over h JOIN pg_db_role_setting s ON h.classid = 'pg_database'::regclass AND s.setdatabase = h.objid
  CROSS JOIN pg_options_to_table(s.setconfig) o WHERE s.setrole = 0
)
SELECT coalesce(json_agg(json_build_object('kind', kind, 'schema', schema, 'name', name) ORDER BY kind, name), '[]')::text
FROM listed
