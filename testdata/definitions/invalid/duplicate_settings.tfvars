application_databases = {
  a = {
    database_name = "a"
    username      = "a_user"
    settings      = { search_path = "a", SEARCH_PATH = "b", work_mem = null, WORK_MEM = "1MB" }
  }
}
