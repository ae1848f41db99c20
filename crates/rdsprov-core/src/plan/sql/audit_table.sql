-- Everything by which the audit table that `named` names differs from its documented definition: `defect`, a
-- part of a WITH clause. `named(schema_name, table_name, columns, owner)` precedes it; `columns` is the list of the
-- columns with their types as `expected_columns` in audit_table.rs writes it. Without the table, only a schema
-- with its name can differ. The owner of a squatted table can give it any number of triggers: some are enough.
me AS (
    SELECT r.oid FROM pg_catalog.pg_roles r JOIN named ON r.rolname = named.owner
),
audit_schema AS (
    SELECT s.oid, s.nspname, s.nspowner, s.nspacl
    FROM pg_catalog.pg_namespace s JOIN named ON s.nspname = named.schema_name
),
audit_relation AS (
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.reloftype, c.relowner, c.relacl, c.relispartition,
        c.relrowsecurity, c.relforcerowsecurity, named.columns
    FROM pg_catalog.pg_class c JOIN audit_schema s ON s.oid = c.relnamespace JOIN named ON c.relname = named.table_name
),
found(words) AS (
    SELECT format('schema %s belongs to role %s', s.nspname, pg_catalog.pg_get_userbyid(s.nspowner))
    FROM audit_schema s WHERE s.nspowner NOT IN (SELECT oid FROM me)
    UNION ALL
    SELECT format('%s may create objects in schema %s',
        CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE 'role ' || pg_catalog.pg_get_userbyid(x.grantee) END, s.nspname)
    FROM audit_schema s CROSS JOIN LATERAL pg_catalog.aclexplode(s.nspacl) x
    WHERE x.privilege_type = 'CREATE' AND x.grantee <> s.nspowner
    UNION ALL
    SELECT format('%s is not a table, but a %s', r.relname, CASE r.relkind WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table'
        WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type' ELSE 'relation of another kind' END)
    FROM audit_relation r WHERE r.relkind <> 'r'
    UNION ALL
    SELECT format('table %s is unlogged', r.relname) FROM audit_relation r WHERE r.relpersistence <> 'p'
    UNION ALL
    SELECT format('table %s belongs to role %s', r.relname, pg_catalog.pg_get_userbyid(r.relowner))
    FROM audit_relation r WHERE r.relowner NOT IN (SELECT oid FROM me)
    UNION ALL
    SELECT format('%s has %s on table %s',
        CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE 'role ' || pg_catalog.pg_get_userbyid(x.grantee) END,
        string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type), r.relname)
    FROM audit_relation r LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
    CROSS JOIN LATERAL (SELECT * FROM pg_catalog.aclexplode(r.relacl) UNION ALL SELECT * FROM pg_catalog.aclexplode(a.attacl)) x
    WHERE x.privilege_type <> 'SELECT' AND x.grantee <> r.relowner
    GROUP BY x.grantee, r.relname
    UNION ALL
    SELECT format('the columns of table %s are (%s)', c.relname, left(c.list, 500))
    FROM (SELECT r.relname, r.columns, coalesce(string_agg(format('%I %s%s%s', a.attname,
            CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace AND a.attndims = 0 AND a.attcollation = t.typcollation
                THEN pg_catalog.format_type(a.atttypid, a.atttypmod) ELSE 'of another type' END,
            CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
            CASE WHEN a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '' THEN ' with a default' ELSE '' END),
            ', ' ORDER BY a.attnum), '') AS list
        FROM audit_relation r
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        GROUP BY r.relname, r.columns) c
    WHERE c.list <> c.columns
    UNION ALL
    SELECT format('table %s inherits, or is inherited', r.relname) FROM audit_relation r
    WHERE r.relispartition OR r.reloftype <> 0
        OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE r.oid IN (i.inhrelid, i.inhparent))
    UNION ALL
    SELECT format('table %s has the trigger %s', r.relname, t.tgname)
    FROM audit_relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT format('table %s has the rule %s', r.relname, w.rulename)
    FROM audit_relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid AND r.relkind = 'r'
    UNION ALL
    SELECT format('table %s has the constraint %s', r.relname, k.conname)
    FROM audit_relation r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype <> 'n'
    UNION ALL
    SELECT format('table %s has row-level security', r.relname)
    FROM audit_relation r WHERE r.relrowsecurity OR r.relforcerowsecurity
        OR EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = r.oid)
    UNION ALL
    SELECT format('index %s of table %s is unique or contains an expression', i.indexrelid::regclass, r.relname)
    FROM audit_relation r JOIN pg_catalog.pg_index i ON i.indrelid = r.oid
    WHERE i.indisunique OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
),
defect(words) AS (
    SELECT CASE WHEN row_number() OVER () > 20 THEN 'and more' ELSE words END FROM (SELECT words FROM found LIMIT 21) first_ones
)
