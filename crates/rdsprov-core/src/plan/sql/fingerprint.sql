-- Returns the fingerprint of the code in objects that get another owner: a hash of the catalog rows of all their
-- functions, triggers, rules, views, policies, operators and casts, and of each expression that calls a function which
-- does not belong to PostgreSQL, and of the privileges with which other roles add code to the objects later. The
-- observation and the check after the transfer execute the same text, so it depends on neither the owner nor the
-- privileges of both owners. `WITH handed_over AS (SELECT classid, objid ...), party AS (SELECT oid ...)` precedes it:
-- the objects, and both owners.
, relation AS (
  SELECT c.oid, c.reltype FROM handed_over h JOIN pg_class c ON h.classid = 'pg_class'::regclass AND c.oid = h.objid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_(toast_)?temp_'
), type AS (
  SELECT t.oid FROM handed_over h JOIN pg_type t ON h.classid = 'pg_type'::regclass AND t.oid = h.objid
  JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname !~ '^pg_(toast_)?temp_'
), expression AS (
  SELECT 'pg_attrdef'::regclass AS class, a.oid, a.adrelid AS relation, a.adnum::int AS col, to_jsonb(a) AS definition
  FROM relation r JOIN pg_attrdef a ON a.adrelid = r.oid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, NULL, NULL, to_jsonb(c)
  FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, NULL, NULL, to_jsonb(c)
  FROM type t JOIN pg_constraint c ON c.contypid = t.oid
  UNION ALL SELECT 'pg_class'::regclass, x.indexrelid, NULL, NULL,
    jsonb_build_array(x.indrelid, x.indkey::text, x.indexprs::text, x.indpred::text)
  FROM relation r JOIN pg_index x ON x.indrelid = r.oid
  UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid, NULL, NULL, to_jsonb(e) - 'stxowner'
  FROM relation r JOIN pg_statistic_ext e ON e.stxrelid = r.oid
  UNION ALL SELECT 'pg_class'::regclass, p.partrelid, NULL, NULL, to_jsonb(p) - 'partdefid'
  FROM relation r JOIN pg_partitioned_table p ON p.partrelid = r.oid
  UNION ALL SELECT 'pg_type'::regclass, t.oid, NULL, NULL, to_jsonb(t) - 'typowner' - 'typacl'
  FROM type JOIN pg_type t ON t.oid = type.oid
), privilege AS (
  SELECT 'pg_class'::regclass AS class, jsonb_build_array(c.oid, x.grantee, x.privilege_type) AS definition
  FROM relation r JOIN pg_class c ON c.oid = r.oid CROSS JOIN aclexplode(c.relacl) x
  WHERE x.privilege_type = 'TRIGGER' AND x.grantee NOT IN (SELECT oid FROM party)
  UNION SELECT 'pg_namespace'::regclass, jsonb_build_array(n.oid, x.grantee, x.privilege_type)
  FROM handed_over h JOIN pg_namespace n ON h.classid = 'pg_namespace'::regclass AND n.oid = h.objid
  CROSS JOIN aclexplode(n.nspacl) x
  WHERE x.privilege_type = 'CREATE' AND x.grantee NOT IN (SELECT oid FROM party)
), code AS (
  SELECT e.class, e.definition FROM expression e WHERE EXISTS (
    SELECT FROM pg_depend d
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AND d.refobjid >= 16384
      AND (d.classid = e.class AND d.objid = e.oid
        -- Before PostgreSQL 15, the dependencies of a generated column are those of the column.
        OR d.classid = 'pg_class'::regclass AND d.objid = e.relation AND d.objsubid = e.col))
  UNION ALL SELECT 'pg_proc'::regclass, to_jsonb(p) - 'proowner' - 'proacl'
  FROM handed_over h JOIN pg_proc p ON h.classid = 'pg_proc'::regclass AND p.oid = h.objid
  JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT 'pg_aggregate'::regclass, to_jsonb(a)
  FROM handed_over h JOIN pg_aggregate a ON h.classid = 'pg_proc'::regclass AND a.aggfnoid = h.objid
  UNION ALL SELECT 'pg_trigger'::regclass, to_jsonb(t)
  FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
  -- A view is its rule _RETURN.
  UNION ALL SELECT 'pg_rewrite'::regclass, to_jsonb(w) FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
  UNION ALL SELECT 'pg_policy'::regclass, to_jsonb(p) FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
  UNION ALL SELECT 'pg_operator'::regclass, to_jsonb(o) - 'oprowner'
  FROM handed_over h JOIN pg_operator o ON h.classid = 'pg_operator'::regclass AND o.oid = h.objid
  UNION ALL SELECT 'pg_cast'::regclass, to_jsonb(c)
  FROM pg_cast c WHERE EXISTS (SELECT FROM type t WHERE t.oid IN (c.castsource, c.casttarget))
    OR EXISTS (SELECT FROM relation r WHERE r.reltype IN (c.castsource, c.casttarget) AND r.reltype <> 0)
  UNION ALL SELECT 'pg_event_trigger'::regclass, to_jsonb(e) - 'evtowner'
  FROM handed_over h JOIN pg_event_trigger e ON h.classid = 'pg_event_trigger'::regclass AND e.oid = h.objid
  UNION ALL SELECT class, definition FROM privilege
), hash AS (
  -- The conversion to the encoding of the database changes nothing and cannot fail.
  SELECT sha256(convert_to(class::text || definition::text, getdatabaseencoding()::text)) AS hash FROM code
)
SELECT 'sha256:' || encode(sha256(coalesce(string_agg(hash, ''::bytea ORDER BY hash), '')), 'hex') FROM hash
