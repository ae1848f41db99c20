-- Returns the objects that all databases share, as one JSON document.
WITH acls AS (
  SELECT d.oid, coalesce((
    SELECT json_agg(json_build_array(
      CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END, pg_get_userbyid(x.grantor),
      x.privilege_type, x.is_grantable))
    FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x), '[]') AS acl
  FROM pg_database d
)
SELECT json_build_object(
  'roles', (
    SELECT json_object_agg(r.rolname, to_jsonb(r) - 'oid' || jsonb_build_object(
      'comment', shobj_description(r.oid, 'pg_authid')))
    FROM pg_authid r WHERE r.rolname !~ '^pg_'),
  'memberships', (
    SELECT coalesce(json_agg(json_build_object(
      'role', pg_get_userbyid(m.roleid), 'member', pg_get_userbyid(m.member),
      'grantor', pg_get_userbyid(m.grantor), 'admin', m.admin_option,
      'inherit', (to_jsonb(m) ->> 'inherit_option')::bool,
      'set', (to_jsonb(m) ->> 'set_option')::bool)), '[]')
    FROM pg_auth_members m),
  'databases', (
    SELECT json_object_agg(d.datname, json_build_object(
      'owner', pg_get_userbyid(d.datdba), 'allows_connections', d.datallowconn,
      'comment', shobj_description(d.oid, 'pg_database'), 'acl', a.acl,
      'rest', to_jsonb(d) - '{oid,datdba,datacl,datallowconn,datfrozenxid,datminmxid,datlastsysoid}'::text[]))
    FROM pg_database d JOIN acls a USING (oid)),
  'settings', (
    SELECT coalesce(json_agg(json_build_object(
      'role', CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END,
      'database', d.datname, 'setting', c)), '[]')
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase,
      unnest(s.setconfig) c)
)::text
