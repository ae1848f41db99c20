text = "a ${"b} c"
application_databases = {}
