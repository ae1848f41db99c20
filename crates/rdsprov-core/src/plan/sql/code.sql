-- Finds the code that PostgreSQL executes when a role uses objects that get another owner. `WITH RECURSIVE handed_over AS
-- (SELECT classid, objid ...), party AS (SELECT oid ...)` precedes it, with the objects and with both owners. The list of the code (server/queries/handed_over_code.sql) or its fingerprint
-- (fingerprint.sql) follows. The observation and the check after the transfer execute the same text.
, reached AS (
  -- The objects, and those of any owner that are used together with them.
  -- A permanent object can have a temporary type.
  SELECT h.classid, h.objid FROM handed_over h
  LEFT JOIN pg_class c ON h.classid = 'pg_class'::regclass AND c.oid = h.objid
  LEFT JOIN pg_type t ON h.classid = 'pg_type'::regclass AND t.oid = h.objid
  LEFT JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
  WHERE coalesce(n.nspname, '') !~ '^pg_(toast_)?temp_'
  UNION
  SELECT further.classid, further.objid FROM reached r CROSS JOIN LATERAL (
    -- Partitions and other children: a row of the table can be one of theirs.
    SELECT 'pg_class'::regclass::oid AS classid, i.inhrelid AS objid FROM pg_inherits i
    WHERE r.classid = 'pg_class'::regclass AND i.inhparent = r.objid
    -- The tables whose rows a foreign key changes together with those of the table: their deferred triggers are executed
    -- as the role that changed the table. pg_constraint has no index on confrelid.
    UNION ALL SELECT d.refclassid, k.conrelid FROM pg_depend d JOIN pg_constraint k ON k.oid = d.objid
    WHERE r.classid = 'pg_class'::regclass AND d.refclassid = r.classid AND d.refobjid = r.objid
      AND d.classid = 'pg_constraint'::regclass AND k.confrelid = r.objid
      AND (k.confupdtype NOT IN ('a', 'r') OR k.confdeltype NOT IN ('a', 'r'))
    -- The types of columns, and the parts of types.
    UNION ALL SELECT d.refclassid, d.refobjid FROM pg_depend d
    WHERE r.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND d.classid = r.classid AND d.objid = r.objid
      AND d.refclassid = 'pg_type'::regclass
    UNION ALL SELECT 'pg_type'::regclass::oid, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
    WHERE r.classid = 'pg_type'::regclass AND t.oid = r.objid AND a.attnum > 0 AND a.atttypid >= 16384
    -- The types in defaults, constraints, indexes, statistics, policies, rules and views.
    UNION ALL SELECT used.refclassid, used.refobjid
    FROM pg_depend own JOIN pg_depend used ON used.classid = own.classid AND used.objid = own.objid
    WHERE r.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND own.refclassid = r.classid AND own.refobjid = r.objid
      AND own.deptype IN ('a', 'i') AND used.refclassid = 'pg_type'::regclass AND own.classid IN (
        'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass, 'pg_statistic_ext'::regclass,
        'pg_policy'::regclass, 'pg_rewrite'::regclass)) further
), above AS (
  -- Partitioned tables and other parents: a privilege on them reaches the rows.
  SELECT i.inhparent AS oid FROM handed_over h JOIN pg_inherits i ON h.classid = 'pg_class'::regclass AND i.inhrelid = h.objid
  UNION SELECT i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.oid
), relation AS (
  SELECT c.oid, c.reltype, c.relowner AS owner, n.nspname AS schema
  FROM reached r JOIN pg_class c ON r.classid = 'pg_class'::regclass AND c.oid = r.objid
  JOIN pg_namespace n ON n.oid = c.relnamespace
), type AS (
  SELECT t.oid, t.typowner AS owner, n.nspname AS schema
  FROM reached r JOIN pg_type t ON r.classid = 'pg_type'::regclass AND t.oid = r.objid
  JOIN pg_namespace n ON n.oid = t.typnamespace
), not_handed_over AS (
  SELECT classid, objid FROM reached EXCEPT SELECT classid, objid FROM handed_over
), with_cast AS (
  -- The row types, the multirange types, and the arrays of all of them, can have casts of their own.
  SELECT t.oid, a.typarray FROM (
    SELECT oid FROM type UNION SELECT reltype FROM relation
    UNION SELECT m.rngmultitypid FROM type t JOIN pg_range m ON m.rngtypid = t.oid) t JOIN pg_type a ON a.oid = t.oid
), castable AS (
  SELECT oid FROM with_cast UNION SELECT typarray FROM with_cast
), of_others AS (
  -- What their owners can change at any time. Row types and array types have no owner of their own.
  SELECT o.classid, o.objid, o.owner, o.schema FROM (
    SELECT 'pg_class'::regclass AS classid, r.oid AS objid, r.owner, r.schema
    FROM not_handed_over n JOIN relation r ON n.classid = 'pg_class'::regclass AND r.oid = n.objid
    UNION ALL SELECT 'pg_type'::regclass, t.oid, t.owner, t.schema
    FROM not_handed_over n JOIN type t ON n.classid = 'pg_type'::regclass AND t.oid = n.objid
    UNION SELECT 'pg_class'::regclass, c.oid, c.relowner, n.nspname FROM above a JOIN pg_class c ON c.oid = a.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.oid NOT IN (SELECT objid FROM handed_over WHERE classid = 'pg_class'::regclass)
    UNION SELECT 'pg_foreign_server'::regclass, s.oid, s.srvowner, NULL
    FROM relation r JOIN pg_foreign_table f ON f.ftrelid = r.oid JOIN pg_foreign_server s ON s.oid = f.ftserver
    WHERE s.oid NOT IN (SELECT objid FROM handed_over WHERE classid = 'pg_foreign_server'::regclass)) o
  WHERE o.owner NOT IN (SELECT oid FROM pg_roles WHERE rolsuper) AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0 AND d.deptype = 'i')
), expression AS (
  -- What can call a function, and whether it is code in any case. A view is its rule _RETURN.
  SELECT 'pg_attrdef'::regclass AS classid, a.oid AS objid, r.owner, r.schema, to_jsonb(a) AS definition, false AS is_code
  FROM relation r JOIN pg_attrdef a ON a.adrelid = r.oid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, r.owner, r.schema, to_jsonb(c), false
  FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, t.owner, t.schema, to_jsonb(c), false
  FROM type t JOIN pg_constraint c ON c.contypid = t.oid
  UNION ALL SELECT 'pg_class'::regclass, x.indexrelid, r.owner, r.schema,
    jsonb_build_array(x.indrelid, x.indkey::text, x.indexprs::text, x.indpred::text), false
  FROM relation r JOIN pg_index x ON x.indrelid = r.oid
  UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid, r.owner, r.schema, to_jsonb(e) - 'stxowner', false
  FROM relation r JOIN pg_statistic_ext e ON e.stxrelid = r.oid
  UNION ALL SELECT 'pg_class'::regclass, p.partrelid, r.owner, r.schema, to_jsonb(p) - 'partdefid', false
  FROM relation r JOIN pg_partitioned_table p ON p.partrelid = r.oid
  -- Only superusers create base types.
  UNION ALL SELECT 'pg_type'::regclass, t.oid, t.owner, t.schema, to_jsonb(y) - 'typowner' - 'typacl', false
  FROM type t JOIN pg_type y ON y.oid = t.oid WHERE y.typtype <> 'b'
  UNION ALL SELECT 'pg_policy'::regclass, p.oid, r.owner, r.schema, to_jsonb(p), true
  FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
  UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, r.owner, r.schema, to_jsonb(w), true
  FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
  -- The trigger of a partitioned table has an internal copy for each partition. Foreign keys have triggers, too.
  UNION ALL SELECT 'pg_trigger'::regclass, t.oid, r.owner, r.schema, to_jsonb(t), true
  FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal OR t.tgfoid >= 16384
  UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proowner, n.nspname, to_jsonb(p) - 'proowner' - 'proacl', true
  FROM handed_over h JOIN pg_proc p ON h.classid = 'pg_proc'::regclass AND p.oid = h.objid
  JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proowner, n.nspname, to_jsonb(a), true
  FROM handed_over h JOIN pg_proc p ON h.classid = 'pg_proc'::regclass AND p.oid = h.objid
  JOIN pg_aggregate a ON a.aggfnoid = p.oid JOIN pg_namespace n ON n.oid = p.pronamespace
  UNION ALL SELECT 'pg_operator'::regclass, o.oid, o.oprowner, n.nspname, to_jsonb(o) - 'oprowner', true
  FROM handed_over h JOIN pg_operator o ON h.classid = 'pg_operator'::regclass AND o.oid = h.objid
  JOIN pg_namespace n ON n.oid = o.oprnamespace
  -- A cast has no owner: the owner of one of its types has created it.
  UNION ALL SELECT 'pg_cast'::regclass, c.oid, NULL, NULL, to_jsonb(c), true
  FROM pg_cast c WHERE c.oid >= 16384 AND c.oid IN (
    SELECT k.oid FROM castable t JOIN pg_cast k ON k.castsource = t.oid
    UNION SELECT k.oid FROM castable t JOIN pg_cast k ON k.casttarget = t.oid)
  -- Rows of a foreign table go to and come from another server, with the password in a user mapping.
  UNION ALL SELECT 'pg_foreign_table'::regclass, f.ftrelid, r.owner, r.schema, to_jsonb(f), true
  FROM relation r JOIN pg_foreign_table f ON f.ftrelid = r.oid
  UNION ALL SELECT 'pg_foreign_server'::regclass, s.oid, s.srvowner, NULL, to_jsonb(s) - 'srvowner' - 'srvacl', true
  FROM handed_over h JOIN pg_foreign_server s ON h.classid = 'pg_foreign_server'::regclass AND s.oid = h.objid
  -- The administrator cannot read the options.
  UNION ALL SELECT 'pg_user_mapping'::regclass, m.umid, s.srvowner, NULL, jsonb_build_array(m.umid, m.umuser), true
  FROM handed_over h JOIN pg_foreign_server s ON h.classid = 'pg_foreign_server'::regclass AND s.oid = h.objid
  JOIN pg_user_mappings m ON m.srvid = s.oid WHERE m.umuser = 0 OR m.umuser IN (SELECT oid FROM party)
  UNION ALL SELECT 'pg_event_trigger'::regclass, e.oid, e.evtowner, NULL, to_jsonb(e) - 'evtowner', true
  FROM handed_over h JOIN pg_event_trigger e ON h.classid = 'pg_event_trigger'::regclass AND e.oid = h.objid
  -- The administrator cannot read subconninfo.
  UNION ALL SELECT 'pg_subscription'::regclass, s.oid, s.subowner, NULL,
    jsonb_build_array(s.subname, s.subenabled, s.subslotname, s.subpublications), true
  FROM handed_over h JOIN pg_subscription s ON h.classid = 'pg_subscription'::regclass AND s.oid = h.objid
), unsafe AS MATERIALIZED (
  -- The functions that make an expression code.
  SELECT p.oid, p.proowner AS owner FROM pg_proc p
  WHERE CASE WHEN p.oid < 16384 THEN
      -- Volatile functions of PostgreSQL change the session or the database, or execute the text of a query.
      p.provolatile = 'v' AND p.proname NOT IN (
        'nextval', 'currval', 'lastval', 'random', 'random_normal', 'gen_random_uuid', 'uuidv4', 'uuidv7',
        'clock_timestamp', 'timeofday', 'txid_current', 'pg_current_xact_id')
      -- These read tables and views, or values of a type, that they get as an argument.
      OR p.proname ~ '^(table|schema|database)_to_xml' OR p.proname IN ('pg_input_is_valid', 'pg_input_error_info')
      OR 'cstring'::regtype = ANY (p.proargtypes)
    -- The functions of an extension that is written in C belong to a superuser.
    ELSE p.provolatile <> 'i' OR p.prokind <> 'f' OR p.proowner NOT IN (SELECT oid FROM pg_roles WHERE rolsuper)
      OR p.prolang NOT IN (SELECT oid FROM pg_language WHERE lanname IN ('c', 'internal')) END
), called AS (
  -- Only the stored expression names functions of PostgreSQL: pg_depend does not contain them. The body of a function
  -- is no stored expression, and can contain any text.
  SELECT e.classid, e.objid, p.owner, p.oid AS function FROM expression e
  CROSS JOIN LATERAL regexp_matches(
    CASE e.classid WHEN 'pg_proc'::regclass THEN concat(e.definition->>'proargdefaults', e.definition->>'prosqlbody')
      ELSE e.definition::text END,
    ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') f(match)
  JOIN unsafe p ON p.oid::text = f.match[1]
  UNION SELECT e.classid, e.objid, p.owner, p.oid FROM expression e
  JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid AND d.objsubid = 0
  JOIN unsafe p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  UNION SELECT e.classid, e.objid, p.owner, p.oid FROM expression e
  JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid AND d.objsubid = 0
  JOIN pg_operator x ON d.refclassid = 'pg_operator'::regclass AND x.oid = d.refobjid JOIN unsafe p ON p.oid = x.oprcode
  -- JSON functions return a domain, whose constraints they check. pg_depend does not contain it.
  UNION SELECT e.classid, e.objid, t.typowner, NULL FROM expression e
  CROSS JOIN LATERAL regexp_matches(e.definition::text,
    '[{]JSONRETURNING :format (?:<>|[{][^}]*[}]) :typid ([0-9]+)', 'g') f(match)
  JOIN pg_type t ON t.oid::text = f.match[1] WHERE t.oid >= 16384
  -- The functions of which these objects consist.
  UNION SELECT m.classid, m.objid, p.owner, p.oid FROM (
    SELECT e.classid, e.objid, o.oprcode::oid AS function
    FROM expression e JOIN pg_operator o ON e.classid = 'pg_operator'::regclass AND o.oid = e.objid
    UNION SELECT e.classid, e.objid, unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
      a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[])
    FROM expression e JOIN pg_aggregate a ON e.classid = 'pg_proc'::regclass AND a.aggfnoid = e.objid
    UNION SELECT e.classid, e.objid, c.castfunc
    FROM expression e JOIN pg_cast c ON e.classid = 'pg_cast'::regclass AND c.oid = e.objid
    UNION SELECT e.classid, e.objid, unnest(ARRAY[g.rngcanonical, g.rngsubdiff]::oid[])
    FROM expression e JOIN pg_range g ON e.classid = 'pg_type'::regclass AND g.rngtypid = e.objid) m
  JOIN unsafe p ON p.oid = m.function
)
