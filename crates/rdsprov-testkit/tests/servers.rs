//! A server starts, is of the shape promised, and ends.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::TcpStream;

use rdsprov_testkit::{SecretsManager, Server, versions};

#[test]
fn every_version_starts_in_the_shape_of_rds_and_ends() {
    for major in versions() {
        let server = Server::start(major).unwrap();
        let told = server
            .master("platform", "SELECT current_setting('server_version_num')::int / 10000, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user")
            .unwrap();
        assert_eq!(told.trim(), format!("{major}|f|t|t"));
        assert!(server.master("rdsadmin", "SELECT 1").is_err());
        let port = server.port();
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn secrets_are_kept() {
    let secrets = SecretsManager::start().unwrap();
    secrets.put("a/b", "first").unwrap();
    secrets.put("a/b", "second").unwrap();
    assert_eq!(secrets.get("a/b").unwrap(), "second");
    secrets.delete("a/b").unwrap();
    assert!(secrets.get("a/b").is_err());
}
