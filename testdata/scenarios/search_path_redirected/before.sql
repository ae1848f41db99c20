-- CREATE EXTENSION without SCHEMA would not find a schema.
ALTER DATABASE shop SET search_path = 'nowhere';
ALTER ROLE platform_admin SET search_path = 'nowhere';
