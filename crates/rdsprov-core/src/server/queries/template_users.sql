-- Who keeps CREATE DATABASE from copying the template.
SELECT coalesce(string_agg(pg_catalog.format('%s (%s, pid %s)', usename,
         coalesce(nullif(application_name, ''), 'no application name'), pid), ', '), 'nobody any more')
FROM pg_catalog.pg_stat_activity WHERE datname = 'template1'
