-- Returns the privileges of roles in one database as one JSON document that deserializes to `DatabaseAccess`.
-- It contains PUBLIC, and each role that has more privileges than PUBLIC, that may become such a role, or that can log in
-- and has a power: an attribute or a predefined role that gives access without privileges in the database.
-- Superusers are omitted, because they have all privileges.
-- The functions has_..._privilege are called once for each group of objects with the same schema, kind, owner and
-- ACL, because their results are the same for all objects of a group.
-- `|| '{}'` decompresses a long ACL once, see cluster.sql. $1: the only role to return, or null for all.
WITH RECURSIVE user_schema AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), columns AS (
  SELECT attrelid, array_agg(DISTINCT attacl::text) AS acls, jsonb_object_agg(attname, attacl::text) AS by_name
  FROM pg_attribute WHERE attacl IS NOT NULL AND NOT attisdropped GROUP BY attrelid
), named AS (
  SELECT n.nspname, CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, c.oid, c.relowner AS owner,
    c.relacl::text AS acl, a.acls, a.by_name, c.relname::text AS name
  FROM pg_class c JOIN user_schema n ON n.oid = c.relnamespace LEFT JOIN columns a ON a.attrelid = c.oid
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT n.nspname, 'routine', p.oid, p.proowner, p.proacl::text, NULL, NULL,
    format('%s(%s)', p.proname, oidvectortypes(p.proargtypes))
  FROM pg_proc p JOIN user_schema n ON n.oid = p.pronamespace
), object_group AS (
  SELECT nspname, kind, min(oid) AS sample, count(*) AS count, owner, acl, acls,
    array_agg(sha256(convert_to(name, getdatabaseencoding()))) AS names,
    jsonb_object_agg(name, by_name) FILTER (WHERE by_name IS NOT NULL) AS column_acls
  FROM named GROUP BY 1, 2, owner, acl, acls
), privilege AS MATERIALIZED (
  SELECT * FROM (VALUES
    ('table', 1, 'SELECT', 0), ('table', 2, 'INSERT', 0), ('table', 3, 'UPDATE', 0), ('table', 4, 'DELETE', 0),
    ('table', 5, 'TRUNCATE', 0), ('table', 6, 'REFERENCES', 0), ('table', 7, 'TRIGGER', 0),
    ('table', 8, 'MAINTAIN', 170000),
    ('sequence', 1, 'SELECT', 0), ('sequence', 3, 'UPDATE', 0), ('sequence', 9, 'USAGE', 0),
    ('routine', 1, 'EXECUTE', 0)) v(kind, number, name, since)
  WHERE since <= current_setting('server_version_num')::int
), object AS MATERIALIZED (
  -- The roles that have something by themselves on the objects of a group: for each, one bit for each privilege, and
  -- all bits for the owner, which needs no privilege.
  SELECT o.nspname, o.kind, o.sample, o.count, o.owner, o.acl, o.acls, o.column_acls, g.grantees, g.bits
  FROM object_group o CROSS JOIN LATERAL (
    SELECT array_agg(grantee) AS grantees, array_agg(bits) AS bits FROM (
      SELECT o.owner AS grantee, -1 AS bits
      UNION ALL
      SELECT x.grantee, bit_or(1 << p.number)
      FROM unnest(o.acls || coalesce(o.acl,
        acldefault(CASE o.kind WHEN 'table' THEN 'r' WHEN 'sequence' THEN 's' ELSE 'f' END::"char", o.owner)::text)) a(acl),
        aclexplode(a.acl::aclitem[]) x, privilege p
      WHERE x.grantee <> o.owner AND p.kind = o.kind AND p.name = x.privilege_type GROUP BY x.grantee) one) g
), item AS (
  SELECT x.* FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)) || '{}') x
  WHERE d.datname = current_database()
  UNION ALL
  SELECT x.* FROM user_schema n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)) || '{}') x
  UNION ALL
  SELECT x.* FROM (SELECT DISTINCT acl FROM object WHERE acl IS NOT NULL) o, aclexplode(o.acl::aclitem[]) x
  UNION ALL
  SELECT x.* FROM (SELECT DISTINCT unnest(acls) AS acl FROM columns) o, aclexplode(o.acl::aclitem[]) x
), granted AS (
  -- What each role has by itself on the database and the schemas, also as the owner: PostgreSQL says what a role has, and
  -- this says where it comes from.
  SELECT NULL::name AS nspname, x.grantee, false AS owner, x.privilege_type
  FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)) || '{}') x
  WHERE d.datname = current_database() AND x.grantee <> d.datdba
  UNION SELECT NULL, datdba, true, NULL FROM pg_database WHERE datname = current_database()
  UNION SELECT n.nspname, x.grantee, false, x.privilege_type
  FROM user_schema n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)) || '{}') x WHERE x.grantee <> n.nspowner
  UNION SELECT nspname, nspowner, true, NULL FROM user_schema
), privileged_role AS (
  SELECT grantee AS oid FROM item WHERE grantee <> 0
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
  UNION SELECT nspowner FROM user_schema
  UNION SELECT owner FROM object
  UNION SELECT oid FROM pg_roles
  WHERE rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_database_owner')
), membership AS (
  -- Before PostgreSQL 16, the member decides about INHERIT, and each member may SET ROLE.
  SELECT m.member, m.roleid, m.admin_option AND pg_get_userbyid(m.member) <> current_user AS admin,
    coalesce((to_jsonb(m)->>'inherit_option')::bool, r.rolinherit) AS inherit,
    coalesce((to_jsonb(m)->>'set_option')::bool, true) AS set
  FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
), reach AS (
  -- The roles whose privileges a role has, and whether it may become them: with SET ROLE, or after it has granted them to
  -- itself with ADMIN OPTION. The administrator may become most roles, so that only SET ROLE counts for it.
  SELECT r.oid AS role, r.oid AS reached, true AS becomes FROM pg_roles r
  WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND ($1::text IS NULL OR r.rolname = $1)
  UNION
  SELECT a.role, m.roleid, m.admin OR a.becomes AND m.set FROM reach a JOIN membership m ON m.member = a.reached
  WHERE m.admin OR m.inherit OR a.becomes AND m.set
), power AS (
  SELECT DISTINCT a.role, x.power FROM reach a JOIN pg_roles r ON r.oid = a.role JOIN pg_roles t ON t.oid = a.reached
  CROSS JOIN LATERAL (VALUES
    ('SUPERUSER'::name, t.rolsuper AND a.becomes), ('REPLICATION', t.rolreplication AND a.becomes),
    ('BYPASSRLS', t.rolbypassrls AND a.becomes),
    -- Before PostgreSQL 16, it grants each role that is not a superuser to itself.
    ('CREATEROLE', t.rolcreaterole AND a.becomes AND current_setting('server_version_num')::int < 160000),
    (t.rolname, t.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program',
      'rds_superuser', 'rds_replication'))) x(power, held)
  WHERE x.held AND r.rolcanlogin AND r.rolname <> current_user
), subject AS (
  SELECT 0::oid AS oid, NULL::name AS rolname, false AS rolcanlogin
  UNION ALL
  SELECT r.oid, r.rolname, r.rolcanlogin FROM pg_roles r
  WHERE r.oid IN (SELECT role FROM reach WHERE reached IN (SELECT oid FROM privileged_role) UNION SELECT role FROM power)
), inherited AS (
  -- The roles whose privileges a role has without SET ROLE.
  SELECT oid AS role, oid AS reached FROM subject WHERE oid <> 0
  UNION
  SELECT i.role, m.roleid FROM inherited i JOIN membership m ON m.member = i.reached WHERE m.inherit
), source AS MATERIALIZED (
  -- The roles from which a role can have a privilege: itself, PUBLIC, and those whose privileges it inherits. The owner of
  -- the database is a member of pg_database_owner.
  SELECT s.oid, array_agg(DISTINCT x.oid) AS reached FROM subject s LEFT JOIN inherited i ON i.role = s.oid
  CROSS JOIN LATERAL (
    SELECT 0::oid AS oid UNION ALL SELECT i.reached WHERE i.reached IS NOT NULL
    UNION ALL SELECT r.oid FROM pg_database d, pg_roles r
    WHERE d.datname = current_database() AND d.datdba = i.reached AND r.rolname = 'pg_database_owner') x
  GROUP BY s.oid
), checked AS (
  -- Each pair of a role and a group of objects is a row of its own: a join with all privileges would have to be sorted.
  SELECT s.oid AS role, s.reached, o.nspname, o.kind, o.sample, o.count, held.privileges, held.on_columns,
    CASE WHEN held.on_columns IS NOT NULL THEN o.column_acls END AS column_acls,
    -- As text, because arrays of different lengths cannot be collected. -1 is the role as the owner.
    (SELECT string_agg(DISTINCT CASE WHEN x.grantee = s.oid AND x.bits = -1 THEN '-1' ELSE x.grantee::text END, ',')
      FROM unnest(o.grantees, o.bits) x(grantee, bits)
      WHERE x.bits & held.bits <> 0 AND x.grantee = ANY (s.reached)) AS through
  FROM source s CROSS JOIN object o CROSS JOIN LATERAL (
    SELECT array_agg(name ORDER BY number) FILTER (WHERE whole) AS privileges,
      array_agg(name ORDER BY number) FILTER (WHERE part AND NOT whole) AS on_columns,
      bit_or(1 << number) FILTER (WHERE whole OR part) AS bits
    FROM (
      SELECT p.name, p.number,
        CASE o.kind WHEN 'table' THEN has_table_privilege(s.oid, o.sample, p.name)
          WHEN 'sequence' THEN has_sequence_privilege(s.oid, o.sample, p.name)
          ELSE has_function_privilege(s.oid, o.sample, p.name) END AS whole,
        CASE WHEN o.acls IS NOT NULL AND p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
          THEN has_any_column_privilege(s.oid, o.sample, p.name) ELSE false END AS part
      FROM privilege p WHERE p.kind = o.kind OFFSET 0) one) held
), role_objects AS (
  SELECT role, nspname, kind, privileges, on_columns, sum(count) AS count, string_agg(through, ',') AS through
  FROM (
    SELECT role, nspname, kind, coalesce(privileges, '{}') AS privileges, coalesce(on_columns, '{}') AS on_columns, through,
      sum(count) AS count
    FROM checked WHERE privileges IS NOT NULL OR on_columns IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6) one
  GROUP BY 1, 2, 3, 4, 5
), held AS (
  -- The groups of objects on which a role has each privilege, and the number of this set of groups.
  SELECT role, nspname, kind, privilege, samples, dense_rank() OVER (ORDER BY kind, samples) AS set
  FROM (
    SELECT c.role, c.nspname, c.kind, p.privilege, array_agg(c.sample ORDER BY c.sample) AS samples
    FROM checked c CROSS JOIN LATERAL unnest(c.privileges) p(privilege) GROUP BY 1, 2, 3, 4) one
), set_digest AS (
  -- Most roles have a privilege on the same objects as another role, so that the names of each set are hashed once. A
  -- sum of hashes would not do: sets of names with equal sums can be found. Here and below, the values are not joined,
  -- but collected: the time is linear, whatever the settings of the planner are.
  SELECT set, encode(sha256(string_agg(n.name, ''::bytea ORDER BY n.name)), 'hex') AS digest
  FROM (
    SELECT set, first_value(names) OVER (PARTITION BY kind, sample ORDER BY set NULLS FIRST) AS names
    FROM (
      SELECT NULL::bigint AS set, kind, sample, names FROM object_group
      UNION ALL SELECT one.set, one.kind, x.sample, NULL
      FROM (SELECT DISTINCT set, kind, samples FROM held) one CROSS JOIN LATERAL unnest(one.samples) x(sample)) part) collected
  CROSS JOIN LATERAL unnest(collected.names) n(name)
  WHERE set IS NOT NULL GROUP BY set
), column_digest AS (
  SELECT c.role, c.nspname, c.kind, p.privilege,
    encode(sha256(string_agg(DISTINCT i.name, ''::bytea ORDER BY i.name)), 'hex') AS digest
  FROM checked c CROSS JOIN LATERAL unnest(c.on_columns) p(privilege) CROSS JOIN LATERAL (
    SELECT sha256(convert_to(format('%I.%I', r.key, a.key), getdatabaseencoding())) AS name
    FROM jsonb_each(c.column_acls) r, jsonb_each_text(r.value) a, aclexplode(a.value::aclitem[]) x
    WHERE x.privilege_type = p.privilege AND x.grantee = ANY (c.reached)) i
  GROUP BY 1, 2, 3, 4
), digests AS (
  SELECT role, nspname, kind, jsonb_object_agg(privilege, digest) FILTER (WHERE NOT of_columns) AS whole,
    jsonb_object_agg(privilege, digest) FILTER (WHERE of_columns) AS part
  FROM (
    SELECT role, nspname, kind, privilege, first_value(digest) OVER (PARTITION BY set ORDER BY role NULLS FIRST) AS digest,
      false AS of_columns
    FROM (
      SELECT NULL::oid AS role, NULL::name AS nspname, NULL::text AS kind, NULL::text AS privilege, set, digest FROM set_digest
      UNION ALL SELECT role, nspname, kind, privilege, set, NULL FROM held) part
    UNION ALL SELECT role, nspname, kind, privilege, digest, true FROM column_digest) one
  WHERE role IS NOT NULL GROUP BY 1, 2, 3
), objects_with_digests AS (
  SELECT role, nspname, kind, privileges, on_columns, count, through,
    first_value(whole) OVER same AS whole, first_value(part) OVER same AS part
  FROM (
    SELECT role, nspname, kind, NULL::text[] AS privileges, NULL::text[] AS on_columns, NULL::numeric AS count, NULL::text AS through,
      whole, part
    FROM digests
    UNION ALL SELECT role, nspname, kind, privileges, on_columns, count, through, NULL, NULL FROM role_objects) one
  WINDOW same AS (PARTITION BY role, nspname, kind ORDER BY count NULLS FIRST)
), by_schema AS (
  -- Not joined, but collected by role and name: the time is linear in the number of schemas.
  SELECT role, nspname, bool_or(owner) AS owner, max(privileges) AS privileges,
    (array_agg(objects) FILTER (WHERE objects IS NOT NULL))[1] AS objects
  FROM (
    SELECT s.oid AS role, n.nspname, n.nspowner = s.oid AS owner,
      ARRAY(SELECT p FROM unnest(ARRAY['USAGE', 'CREATE']) WITH ORDINALITY x(p, number)
        WHERE has_schema_privilege(s.oid, n.oid, p) ORDER BY number) AS privileges, NULL::json AS objects
    FROM subject s CROSS JOIN user_schema n
    UNION ALL
    SELECT h.role, h.nspname, NULL, NULL, json_agg(json_build_object(
      'kind', h.kind, 'privileges', h.privileges, 'on_columns', h.on_columns, 'count', h.count,
      'digests', (
        SELECT coalesce(json_object_agg(p, digest), '{}') FROM (
          SELECT p, h.whole->>p AS digest FROM unnest(h.privileges) p
          UNION ALL SELECT p, h.part->>p FROM unnest(h.on_columns) p) one),
      'through', ARRAY(
        SELECT CASE t WHEN '-1' THEN '"owner"' WHEN '0' THEN '"public"' WHEN h.role::text THEN '"grant"'
          ELSE json_build_object('role', pg_get_userbyid(t::oid)) END
        FROM (SELECT DISTINCT unnest(string_to_array(h.through, ',')) AS t) one))
      ORDER BY array_position(ARRAY['table', 'sequence', 'routine'], h.kind), h.privileges DESC, h.on_columns)
    FROM objects_with_digests h WHERE h.count IS NOT NULL GROUP BY 1, 2) part
  GROUP BY role, nspname
), schema_documents AS (
  SELECT b.role, json_object_agg(b.nspname, json_build_object(
    'owner', b.owner, 'privileges', b.privileges, 'objects', coalesce(b.objects, '[]')) ORDER BY b.nspname) AS document
  FROM by_schema b WHERE b.owner OR b.privileges <> '{}' OR b.objects IS NOT NULL GROUP BY b.role
), inherits AS (
  -- Collected once for all roles: a search for each role would be quadratic in the number of memberships.
  SELECT i.role, json_agg(r.rolname ORDER BY r.rolname) AS names
  FROM inherited i JOIN pg_roles r ON r.oid = i.reached WHERE i.reached <> i.role GROUP BY i.role
), may_become AS (
  SELECT b.role, json_agg(r.rolname ORDER BY r.rolname) AS names
  FROM (SELECT role, reached FROM reach WHERE becomes EXCEPT SELECT role, reached FROM inherited) b
  JOIN pg_roles r ON r.oid = b.reached GROUP BY b.role
), powers AS (
  SELECT role, json_agg(power ORDER BY power) AS names FROM power GROUP BY role
), role_documents AS (
  SELECT s.rolname, json_build_object(
    'role', s.rolname, 'login', s.rolcanlogin,
    'inherits', coalesce(i.names, '[]'), 'may_become', coalesce(b.names, '[]'), 'powers', coalesce(p.names, '[]'),
    'database', ARRAY(SELECT p FROM unnest(ARRAY['CONNECT', 'TEMPORARY', 'CREATE']) WITH ORDINALITY x(p, number)
      WHERE has_database_privilege(s.oid, current_database(), p) ORDER BY number),
    'schemas', coalesce(d.document, '{}')) AS document
  FROM subject s
  LEFT JOIN inherits i ON i.role = s.oid LEFT JOIN may_become b ON b.role = s.oid LEFT JOIN powers p ON p.role = s.oid
  LEFT JOIN schema_documents d ON d.role = s.oid
)
SELECT json_build_object(
  'roles', (SELECT coalesce(json_agg(document ORDER BY rolname NULLS LAST), '[]') FROM role_documents),
  'grants', (
    SELECT coalesce(json_agg(json_build_object(
      'schema', g.nspname, 'role', r.rolname, 'owner', g.owner, 'privileges', g.privileges)), '[]')
    FROM (
      SELECT nspname, grantee, owner, array_remove(array_agg(privilege_type), NULL) AS privileges
      FROM granted GROUP BY 1, 2, 3) g
    LEFT JOIN pg_roles r ON r.oid = g.grantee),
  'objects', (
    SELECT coalesce(json_object_agg(nspname, counts ORDER BY nspname), '{}') FROM (
      SELECT nspname, json_object_agg(kind, count) AS counts FROM (
        SELECT nspname, kind, sum(count) AS count FROM object GROUP BY 1, 2) one GROUP BY nspname) two)
)::text
