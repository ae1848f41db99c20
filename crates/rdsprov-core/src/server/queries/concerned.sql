-- The common table expressions with which the queries on the contents of a database begin. $1: the roles that the run is
-- about, which include the predefined roles of which declared roles are members. $2: the OIDs of the administrators, which
-- are the same in all databases.
concerned AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY($1::text[])
), administrator AS MATERIALIZED (
  SELECT unnest($2::oid[]) AS oid
)
