application_databases = {}
/* and so on
