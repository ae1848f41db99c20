//! A run that is killed between any two statements, or that fails at any statement, is completed
//! by the next run.

#![allow(clippy::unwrap_used, reason = "a test")]

mod exchanged;
mod failed;
mod keepalives;
mod killed;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_core::config::{Passwords, TlsSettings};
use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::operations::{AdminCredentials, ConnectionOverrides, Provisioner};
use rdsprov_core::secret_id::{SecretId, Templates};
use rdsprov_core::secrets::SecretSource;
use rdsprov_core::server::{ExecuteOptions, Fault, Tls};
use rdsprov_testkit::Server;
use tempfile::TempDir;

async fn open(server: &Server, secrets: &Path, definitions: &str) -> Provisioner {
    let source = SourceText {
        path: "shop.tfvars".to_owned(),
        text: definitions.to_owned(),
        syntax: Syntax::Hcl,
    };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    let mut desired = Desired::new(&definitions, "dev", &Templates::default(), None).unwrap();
    desired.may_change_owners = true;
    let source = SecretSource::Files(secrets.to_owned());
    let tls = Tls::new(&TlsSettings::trusting(server.ca_file())).unwrap();
    Provisioner::open(
        desired,
        &source,
        AdminCredentials::Secret(SecretId("admin".to_owned())),
        ConnectionOverrides::default(),
        tls,
        &Passwords::default(),
    )
    .await
    .unwrap()
}

/// Starts a server of a version with secrets for its administrator and the applications.
fn site(major: u32, applications: &[&str]) -> (Server, TempDir) {
    let server = Server::start(major).unwrap();
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("admin.json"), server.admin_secret()).unwrap();
    for application in applications {
        let folder = secrets.path().join(format!("goldenpath/dev/{application}"));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(r#"{{"password": "Canary-{application}"}}"#);
        std::fs::write(folder.join("postgres.json"), text).unwrap();
    }
    (server, secrets)
}

/// Applies until nothing is left, and asserts that the next plan is empty.
async fn applied(server: &Server, secrets: &Path, definitions: &str) {
    let mut run = open(server, secrets, definitions).await;
    let mut run = run.lock().await.unwrap();
    let planned = run.plan().await.unwrap();
    let text = planned.plan().to_text();
    assert!(planned.plan().refusals.is_empty(), "{text}");
    let outcome = planned.apply("2", &ExecuteOptions::default()).await.unwrap();
    assert_eq!(outcome.error, None, "{text}");
    let again = run.plan().await.unwrap();
    assert!(again.plan().is_empty(), "{}", again.plan().to_text());
}

fn superuser(server: &Server, sql: &str) -> String {
    server.superuser("postgres", sql).unwrap().trim().to_owned()
}

/// Since PostgreSQL 16, rdsadmin grants the ADMIN option to the creator of a role.
const GRANTED_BY_US: &str =
    "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(grantor) = 'platform_admin'";

/// Injects a fault at the statement with this number only.
fn at(position: usize, fault: Fault) -> impl Fn(&str) -> ControlFlow<Fault> + Sync {
    let seen = AtomicUsize::new(0);
    move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == position {
            ControlFlow::Break(fault)
        } else {
            ControlFlow::Continue(())
        }
    }
}
