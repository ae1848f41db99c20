-- An extension without a schema of its own would find none.
ALTER DATABASE shop SET search_path = 'nowhere';
ALTER ROLE platform_admin SET search_path = 'nowhere';
