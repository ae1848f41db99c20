-- Returns the catalogs that all databases share as one JSON document that deserializes to `Observed`.
-- $1: the declared extensions, $2: the predefined roles to return, $3: the declared roles and their clones, $4: the declared databases.
-- Each role may store settings of any length for itself in each database, and the owner of a database may store them
-- for it and write a comment of any length. Neither is read if it is long: the size of a stored value is known without
-- reading it. The length in JSON counts, in which a control character has 6 bytes.
-- A role with CREATEDB can have any number of databases. Of what is not declared, settings are not read, comments of up
-- to 4 kB only, and 100 entries of each ACL.
-- It continues a WITH clause that contains `administrator`, see administrators.sql.
-- `|| '{}'` decompresses a long ACL once. The function aclexplode would do so for each of its rows.
-- `to_jsonb(m)` makes it possible to read columns that do not exist in all versions.
author AS MATERIALIZED (
  -- Whose comments on roles count: those of administrators, of roles that can become the current one, and of the
  -- delegates that one of these has created.
  WITH chief AS (
    SELECT oid FROM administrator UNION
    SELECT m.member FROM pg_catalog.pg_auth_members m
    WHERE m.admin_option AND pg_catalog.pg_get_userbyid(m.roleid) = current_user
  )
  SELECT oid FROM chief UNION
  SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.grantor
  WHERE m.admin_option AND g.rolsuper AND m.member IN (SELECT oid FROM chief)
    AND pg_catalog.shobj_description(m.roleid, 'pg_authid') LIKE '%[managed by rdsprov: % application=rdsprov:administrator %'
), foreign_power AS (
  -- From PostgreSQL 16 on, other roles with CREATEROLE can alter a role and write its comment if they, or a role that
  -- they can become, have ADMIN OPTION on it. Before, each of them is an administrator.
  SELECT oid FROM pg_catalog.pg_roles
  WHERE rolcreaterole AND NOT rolsuper AND current_setting('server_version_num')::int >= 160000
    AND oid NOT IN (SELECT oid FROM author)
  UNION SELECT m.roleid FROM foreign_power f JOIN pg_catalog.pg_auth_members m ON m.member = f.oid
), comment AS NOT MATERIALIZED (
  SELECT s.classoid, s.objoid, s.description, CASE WHEN octet_length(s.description) <= 65536
    THEN octet_length(to_json(s.description)::text) ELSE 65537 END AS size
  FROM pg_catalog.pg_shdescription s
), setting AS NOT MATERIALIZED (
  SELECT c.setdatabase, c.setrole, CASE c.setrole WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(c.setrole) END AS role,
    c.setconfig, f.fits
  FROM pg_catalog.pg_db_role_setting c, LATERAL (
    -- The compressed size first: it limits the size in memory to some megabytes.
    SELECT CASE WHEN pg_column_size(c.setconfig) <= 8192 THEN (
      SELECT sum(octet_length(e)) <= 8192 AND sum(octet_length(to_json(e)::text)) <= 16384
      FROM unnest(c.setconfig) e) ELSE false END) f(fits)
)
SELECT json_build_object(
  'server_version', current_setting('server_version_num')::int,
  'connection', json_build_object('system_identifier', (
    -- By default, PUBLIC has EXECUTE on the function. A superuser can revoke it.
    SELECT (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c)
    WHERE pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE'))),
  'admin_database', current_database(),
  'administrator', (
    SELECT json_build_object(
      'name', a.rolname, 'superuser', a.rolsuper,
      'create_role', a.rolcreaterole, 'create_database', a.rolcreatedb,
      'rds_superuser', EXISTS (
        SELECT FROM pg_catalog.pg_roles s
        WHERE s.rolname = 'rds_superuser' AND pg_catalog.pg_has_role(a.oid, s.oid, 'MEMBER')),
      'rds_extension', EXISTS (
        SELECT FROM pg_catalog.pg_roles s
        WHERE s.rolname = 'rds_extension' AND pg_catalog.pg_has_role(a.oid, s.oid, 'MEMBER')))
    FROM pg_catalog.pg_roles a WHERE a.rolname = current_user),
  'administrators', (SELECT json_agg(oid::bigint ORDER BY oid) FROM administrator),
  'passwords', json_build_object(
    'encryption', current_setting('password_encryption'),
    'scram_iterations', current_setting('scram_iterations', true)::int,
    'restricted', coalesce(nullif(current_setting('rds.restrict_password_commands', true), '')::bool, false),
    'in_rds_password', EXISTS (
      SELECT FROM pg_catalog.pg_roles p
      WHERE p.rolname = 'rds_password' AND pg_catalog.pg_has_role(p.oid, 'MEMBER'))),
  'tablespaces', (
    SELECT coalesce(json_object_agg(t.spcname, r.rolname ORDER BY t.spcname), '{}')
    FROM pg_catalog.pg_tablespace t JOIN pg_catalog.pg_roles r ON r.oid = t.spcowner WHERE NOT r.rolsuper),
  -- Before PostgreSQL 16, pg_subscription lacks the column subpasswordrequired. The name then resolves to the constant
  -- in before_16.
  'subscriptions', (
    SELECT coalesce(json_agg(json_build_object(
      'name', s.subname, 'database', d.datname, 'owner', r.rolname,
      'movable', (SELECT subpasswordrequired FROM pg_catalog.pg_subscription o WHERE o.oid = s.oid))
      ORDER BY d.datname, s.subname), '[]')
    FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
    JOIN pg_catalog.pg_roles r ON r.oid = s.subowner, (SELECT false AS subpasswordrequired) before_16
    WHERE NOT r.rolsuper),
  'extensions', (
    WITH RECURSIVE available AS MATERIALIZED (
      SELECT v.name, v.superuser, v.trusted, v.schema, v.requires FROM pg_catalog.pg_available_extensions e
      JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
    ), needed AS (
      SELECT * FROM available WHERE name = ANY($1::text[])
      UNION SELECT a.* FROM needed n JOIN available a ON a.name = ANY(n.requires)
    ), allowed AS (
      -- A parameter of Amazon RDS. All extensions are allowed if it is unset or `*`.
      SELECT string_to_array(nullif(replace(current_setting('rds.allowed_extensions', true), ' ', ''), ''), ',') AS names
    )
    SELECT coalesce(json_object_agg(n.name, json_build_object(
      'superuser', n.superuser, 'trusted', n.trusted, 'schema', n.schema, 'requires', coalesce(n.requires, '{}'),
      'allowed', coalesce(a.names && ARRAY['*', n.name::text], true)) ORDER BY n.name), '{}')
    FROM needed n, allowed a),
  -- A parameter of Amazon RDS. No extension is delegated if it is unset.
  'delegated_extensions', (
    SELECT coalesce(json_agg(DISTINCT n.name), '[]')
    FROM unnest(string_to_array(replace(current_setting('rds.allowed_delegated_extensions', true), ' ', ''), ',')) n(name)
    WHERE n.name <> ''),
  'roles', (
    SELECT coalesce(json_object_agg(r.rolname, json_build_object(
      'oid', r.oid::bigint,
      'superuser', r.rolsuper, 'login', r.rolcanlogin, 'inherit', r.rolinherit,
      'create_role', r.rolcreaterole, 'create_database', r.rolcreatedb,
      'replication', r.rolreplication, 'bypass_rls', r.rolbypassrls,
      'connection_limit', r.rolconnlimit,
      'valid_until', CASE r.rolvaliduntil WHEN 'infinity' THEN NULL WHEN '-infinity' THEN '-infinity'
        ELSE to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END,
      'expired', coalesce(r.rolvaliduntil <= now(), false),
      'comment', (
        SELECT s.description FROM comment s
        WHERE s.objoid = r.oid AND s.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass
          -- Only roles with CREATEROLE can write it: before PostgreSQL 16, these are administrators. A delegation needs
          -- the comments of all managed roles.
          AND s.size <= CASE WHEN r.rolname = ANY($3::text[]) OR p.administered AND p.controllers = '{}' THEN 65536 ELSE 4096 END),
      'comment_too_long', EXISTS (
        SELECT FROM comment s
        WHERE s.objoid = r.oid AND s.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass
          AND r.rolname = ANY($3::text[]) AND s.size > 65536),
      'memberships', (
        SELECT coalesce(json_agg(json_build_object(
          'role', pg_catalog.pg_get_userbyid(m.roleid), 'admin', m.admin_option,
          'inherit', coalesce((to_jsonb(m)->>'inherit_option')::bool, true),
          'set', coalesce((to_jsonb(m)->>'set_option')::bool, true),
          'grantor', pg_catalog.pg_get_userbyid(m.grantor))
          ORDER BY pg_catalog.pg_get_userbyid(m.roleid), pg_catalog.pg_get_userbyid(m.grantor)), '[]')
        FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid),
      'granted', (
        SELECT coalesce(json_agg(json_build_object(
          'role', pg_catalog.pg_get_userbyid(m.roleid), 'member', pg_catalog.pg_get_userbyid(m.member))
          ORDER BY pg_catalog.pg_get_userbyid(m.roleid), pg_catalog.pg_get_userbyid(m.member)), '[]')
        FROM pg_catalog.pg_auth_members m WHERE m.grantor = r.oid),
      'controllers', p.controllers, 'administered', p.administered,
      -- The ADMIN OPTION of another role counts only if the administrator inherits the privileges of that role.
      'administrator_has_admin_option', EXISTS (
        SELECT FROM pg_catalog.pg_auth_members m
        WHERE m.roleid = r.oid AND m.admin_option AND pg_catalog.pg_has_role(m.member, 'USAGE')),
      'is_member_of_administrator', r.rolname <> current_user AND pg_catalog.pg_has_role(r.oid,
        (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user), 'MEMBER'))
      ORDER BY r.rolname), '{}')
    FROM pg_catalog.pg_roles r CROSS JOIN LATERAL (
      SELECT ARRAY(
          SELECT DISTINCT pg_catalog.pg_get_userbyid(m.member) FROM pg_catalog.pg_auth_members m
          WHERE m.roleid = r.oid AND m.admin_option AND (m.member IN (SELECT oid FROM foreign_power)
            -- The membership that PostgreSQL gives to the creator of a role, which may have lost CREATEROLE since.
            OR current_setting('server_version_num')::int >= 160000 AND m.member NOT IN (SELECT oid FROM author)
              AND NOT (to_jsonb(m)->>'inherit_option')::bool AND NOT (to_jsonb(m)->>'set_option')::bool
              AND EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.oid = m.grantor AND g.rolsuper))
          ORDER BY 1 LIMIT 3) AS controllers) c CROSS JOIN LATERAL (
      SELECT c.controllers, current_setting('server_version_num')::int < 160000
        OR current_setting('is_superuser')::bool
        OR r.rolname <> ALL($3::text[]) AND pg_catalog.shobj_description(r.oid, 'pg_authid') IS NULL OR EXISTS (
          SELECT FROM pg_catalog.pg_auth_members m
          WHERE m.roleid = r.oid AND m.admin_option
            AND (m.member IN (SELECT oid FROM author) OR pg_catalog.pg_has_role(m.member, 'USAGE'))
            -- The creator of a role can give an administrator power over it.
            AND (c.controllers = '{}' OR m.grantor IN (SELECT oid FROM author))) AS administered) p
    WHERE r.rolname !~ '^pg_' OR r.rolname = ANY($2::text[])
      -- Through a predefined role that was made a member of another one, a role reaches more than its memberships say.
      OR EXISTS (
        SELECT FROM pg_catalog.pg_auth_members m
        -- Those of pg_monitor that PostgreSQL has made concern only its members.
        WHERE m.member = r.oid AND (r.rolname <> 'pg_monitor' OR pg_catalog.pg_get_userbyid(m.roleid)
          NOT IN ('pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables') OR EXISTS (
            SELECT FROM pg_catalog.pg_auth_members o
            WHERE o.roleid = r.oid AND o.member NOT IN (SELECT oid FROM author))))),
  'databases', (
    SELECT coalesce(json_object_agg(d.datname, json_build_object(
      'oid', d.oid::bigint, 'owner', pg_catalog.pg_get_userbyid(d.datdba),
      'allow_connections', d.datallowconn, 'connection_limit', d.datconnlimit, 'is_template', d.datistemplate,
      -- Functions that take an OID return null if the object was dropped after the snapshot of the query.
      'connectable', d.datallowconn AND coalesce(pg_catalog.has_database_privilege(d.oid, 'CONNECT'), false),
      'comment', (
        SELECT s.description FROM comment s
        WHERE s.objoid = d.oid AND s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass
          AND s.size <= CASE WHEN d.datname = ANY($4::text[]) THEN 65536 ELSE 4096 END),
      'comment_too_long', EXISTS (
        SELECT FROM comment s
        WHERE s.objoid = d.oid AND s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass
          AND d.datname = ANY($4::text[]) AND s.size > 65536),
      'settings', (
        -- As `name=value`: a value can be in another encoding, where functions on text fail.
        SELECT coalesce(json_object_agg(s.role, s.setconfig ORDER BY s.role), '{}') FROM setting s
        WHERE d.datname = ANY($4::text[]) AND s.setdatabase = d.oid AND s.role = ANY($3::text[]) AND s.fits),
      'settings_too_long', (
        SELECT coalesce(json_agg(s.role ORDER BY s.role), '[]') FROM setting s
        WHERE d.datname = ANY($4::text[]) AND s.setdatabase = d.oid
          AND (s.setrole = 0 OR s.role = ANY($3::text[])) AND NOT s.fits),
      'read_only', EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting c, LATERAL (
          SELECT CASE WHEN pg_column_size(c.setconfig) <= 8192 THEN c.setconfig END) f(settings), unnest(f.settings) e(setting)
        WHERE c.setdatabase = d.oid AND c.setrole = 0 AND e.setting ~* '^default_transaction_read_only=(on|t(r(ue?)?)?|y(es?)?|1)$'),
      -- Apart from large objects and default privileges. All databases share pg_shdepend, so that this does not need
      -- a connection.
      'objects_of_others', (
        SELECT coalesce(json_agg(DISTINCT r.rolname), '[]')
        FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
        WHERE NOT d.datallowconn AND pg_catalog.pg_get_userbyid(d.datdba) = current_user
          AND s.dbid = d.oid AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o'
          AND s.classid NOT IN ('pg_catalog.pg_largeobject'::regclass, 'pg_catalog.pg_default_acl'::regclass)
          AND r.oid NOT IN (SELECT oid FROM administrator)
          AND r.oid <> (SELECT t.datdba FROM pg_catalog.pg_database t WHERE t.datname = 'template1')),
      'acl', (
        SELECT coalesce(json_agg(json_build_object(
          'grantee', a.grantee, 'grantor', pg_catalog.pg_get_userbyid(a.grantor),
          'privilege', a.privilege_type, 'grantable', a.is_grantable)
          ORDER BY a.grantee, a.privilege_type), '[]')
        FROM (
          SELECT g.rolname AS grantee, x.grantor, x.privilege_type, x.is_grantable
          FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)) || '{}') x
          LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee
          ORDER BY x.grantee = 0 OR g.rolname = ANY($3::text[]) DESC, g.rolname, x.privilege_type
          LIMIT CASE WHEN d.datname = ANY($4::text[]) THEN NULL ELSE 100 END) a))
      ORDER BY d.datname), '{}')
    FROM pg_catalog.pg_database d WHERE d.datname NOT IN ('template0', 'template1')),
  'templates', (
    SELECT coalesce(json_object_agg(d.datname, pg_catalog.pg_get_userbyid(d.datdba) ORDER BY d.datname), '{}')
    FROM pg_catalog.pg_database d WHERE d.datname IN ('template0', 'template1'))
)::text
