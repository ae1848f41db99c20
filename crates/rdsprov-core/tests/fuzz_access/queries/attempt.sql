CREATE FUNCTION pg_temp.attempt(who text, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('role', who, true);
  EXECUTE what;
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END
$$
