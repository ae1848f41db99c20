-- The objects of the current database that other roles can execute, with their owners and schemas: a part of a WITH clause.
-- The owners come from the catalogs of the objects and not from pg_shdepend, which has no entry for an object of a
-- predefined role: a member of such a role can give it an object.
object AS (
  SELECT 'pg_proc'::regclass AS classid, oid AS objid, proowner AS owner, pronamespace AS namespace FROM pg_proc
  UNION ALL SELECT 'pg_class'::regclass, oid, relowner, relnamespace FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace FROM pg_type
  UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner, oprnamespace FROM pg_operator
  UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner, opcnamespace FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner, opfnamespace FROM pg_opfamily
  UNION ALL SELECT 'pg_collation'::regclass, oid, collowner, collnamespace FROM pg_collation
  UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner, connamespace FROM pg_conversion
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner, stxnamespace FROM pg_statistic_ext
  UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner, cfgnamespace FROM pg_ts_config
  UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner, dictnamespace FROM pg_ts_dict
  UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, NULL FROM pg_namespace
  UNION ALL SELECT 'pg_extension'::regclass, oid, extowner, NULL FROM pg_extension
  UNION ALL SELECT 'pg_language'::regclass, oid, lanowner, NULL FROM pg_language
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwowner, NULL FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner, NULL FROM pg_foreign_server
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner, NULL FROM pg_event_trigger
  UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner, NULL FROM pg_publication
)
