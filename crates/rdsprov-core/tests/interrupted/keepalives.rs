//! The session that holds the lock, and how soon the server ends it without its client.

use rdsprov_core::server::{ExecuteOptions, Fault};
use rdsprov_testkit::versions;

use crate::{at, open, site, superuser};

const DEFINITIONS: &str = r#"
application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}
"#;

/// Fails with the parameters of its session, and the number of the advisory locks that it holds.
const ASK: &str = "DO $$ BEGIN RAISE EXCEPTION 'idle %, interval %, count %, timeout %, locks %',
    current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),
    current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout'),
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'); END $$";

#[tokio::test(flavor = "multi_thread")]
async fn session_with_the_lock_has_short_keepalives() {
    for major in versions() {
        let (server, secrets) = site(major, &["shop"]);
        // As on RDS, where they are set for the server.
        superuser(&server, "ALTER ROLE platform_admin SET tcp_keepalives_idle = 300");
        superuser(&server, "ALTER DATABASE postgres SET tcp_user_timeout = '15min'");
        let mut run = open(&server, secrets.path(), DEFINITIONS).await;
        let mut run = run.lock().await.unwrap();
        let planned = run.plan().await.unwrap();
        // After BEGIN, in the transaction of the roles.
        let ask = at(1, Fault::Sent(ASK));
        let outcome = planned.apply("1", &ExecuteOptions::interrupted_by(&ask)).await.unwrap();
        let error = outcome.error.unwrap_or_default();
        let expected = "idle 15, interval 5, count 3, timeout 30000, locks 1 (P0001)";
        assert!(error.starts_with(expected), "PostgreSQL {major}: {error}");
    }
}
