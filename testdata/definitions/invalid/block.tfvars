application_databases {
  a = "b"
}
