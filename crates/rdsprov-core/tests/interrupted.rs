//! A run that is killed between any two statements leaves a server that the next run completes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdsprov_core::config::{Passwords, TlsMode};
use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::secrets::{SecretId, SecretSource, Templates};
use rdsprov_core::server::{ApplyOptions, Login, Place, Run, Tls};
use rdsprov_testkit::{Server, versions};

const DEFINITIONS: &str = r#"
application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}
"#;

async fn open(server: &Server, secrets: &Path) -> Run {
    let source = SourceText {
        path: "shop.tfvars".to_owned(),
        text: DEFINITIONS.to_owned(),
        syntax: Syntax::Hcl,
    };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    let desired = Desired::new(&definitions, "dev", &Templates::default(), None).unwrap();
    let source = SecretSource::Files(secrets.to_owned());
    let tls = Tls::new(TlsMode::VerifyFull, Some(server.ca_file())).unwrap();
    Run::open(
        desired,
        &source,
        Login::Secret(SecretId("admin".to_owned())),
        Place::default(),
        tls,
        &Passwords::default(),
    )
    .await
    .unwrap()
}

// A dropped session says goodbye from a task of its own: it needs a thread while the test waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_between_any_two_statements_is_completed_by_the_next() {
    for major in versions() {
        let server = Server::start(major).unwrap();
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("admin.json"), server.admin_secret()).unwrap();
        for application in ["shop", "shop_workers", "shop_reports"] {
            let folder = secrets.path().join(format!("goldenpath/dev/{application}"));
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!(r#"{{"password": "Canary-{application}"}}"#);
            std::fs::write(folder.join("postgres.json"), text).unwrap();
        }
        let superuser = |sql: &str| server.superuser("postgres", sql).unwrap().trim().to_owned();
        // On 16 and later the creator of a role gets an ADMIN-only row of its own from rdsadmin.
        let granted_by_us = "SELECT count(*) FROM pg_auth_members
            WHERE pg_get_userbyid(grantor) = 'platform_admin'";
        let mut position = 0;
        loop {
            let seen = AtomicUsize::new(0);
            let kill = |_: &str| {
                if seen.fetch_add(1, Ordering::Relaxed) == position {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let run = open(&server, secrets.path()).await;
            let plan = run.plan().await.unwrap();
            assert!(plan.refusals.is_empty(), "{}", plan.to_text());
            let options = ApplyOptions { interrupt: Some(&kill), ..ApplyOptions::default() };
            let lock = run.lock().await.unwrap();
            let killed = run.apply(&lock, &plan, "1", &options).await.error.is_some();
            drop((run, lock));
            if !killed {
                break;
            }
            // The server notices that its client is gone when it has done what it was doing.
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_admin'";
            let mut waits = 0;
            while superuser(busy) != "0" {
                waits += 1;
                assert!(waits < 500, "PostgreSQL {major}, position {position}: a session stays");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(superuser(granted_by_us), "0", "PostgreSQL {major}, position {position}");

            let run = open(&server, secrets.path()).await;
            let lock = run.lock().await.unwrap();
            let plan = run.plan().await.unwrap();
            assert!(plan.refusals.is_empty(), "position {position}: {}", plan.to_text());
            let outcome = run.apply(&lock, &plan, "2", &ApplyOptions::default()).await;
            assert_eq!(outcome.error, None, "PostgreSQL {major}, position {position}");
            let again = run.plan().await.unwrap();
            assert!(again.is_empty(), "position {position}: {}", again.to_text());
            assert_eq!(superuser(granted_by_us), "0", "PostgreSQL {major}, position {position}");
            drop((run, lock));
            superuser("DROP DATABASE shop WITH (FORCE)");
            superuser("DROP ROLE shop_owner, shop_editor, shop_reader");
            position += 1;
        }
        assert!(position > 25, "only {position} statements were tried");
        assert!(!server.log().contains("Canary-shop"));
    }
}
