application_databases = {
	a = { /* käse 世界 */ database_name = 1, username = "a_user" }
}
