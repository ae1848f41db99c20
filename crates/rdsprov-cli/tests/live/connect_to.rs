//! Connections to another address than the host, such as that of a tunnel, to servers that take long to
//! answer, and with a password that was just rotated.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rdsprov_testkit::{Intercept, LoginProxy, Server, versions};

use crate::fixture::{Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// A host whose name no DNS server knows. The certificate of the server contains another name.
const UNKNOWN: &str = "db.internal.invalid";

struct Site {
    fixture: Fixture,
    definitions: String,
}

impl Site {
    fn on(server: Server) -> Self {
        let fixture = Fixture::on(server, None);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(DEFINITIONS);
        Self { fixture, definitions }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.fixture.command(&self.definitions, &[arguments, &["--env", "dev"]].concat())
    }

    fn run(&self, arguments: &[&str], code: i32) -> String {
        expect(&self.command(arguments).output().unwrap(), code)
    }

    /// Plans without TLS, through a proxy.
    fn through(&self, proxy: &LoginProxy, more: &[&str]) -> Output {
        let port = proxy.port().to_string();
        let options = ["--tls", "disable", "--host", "127.0.0.1", "--port", &port];
        let secrets = format!("file:{}", self.fixture.path().display());
        let source = ["plan", "--env", "dev", "--secrets", &secrets];
        let words = [source.as_slice(), &options, more].concat();
        self.fixture.without_connection(&self.definitions, &words).output().unwrap()
    }

    /// Stores the administrator's secret with another port, at which nothing listens, and with more keys.
    fn admin_secret(&self, more: &str) {
        let secret = self.fixture.server.admin_secret();
        let port = format!(r#""port":{}"#, self.fixture.server.port());
        assert!(secret.contains(&port), "the secret has another form");
        let secret = secret.replace(&port, &format!(r#""port":1{more}"#));
        self.fixture.secret("goldenpath/dev/rds/master", &secret);
    }
}

#[test]
fn tunnel_to_the_server() {
    for major in versions() {
        let site = Site::on(Server::start(major).unwrap());
        let tunnel = format!("127.0.0.1:{}", site.fixture.server.port());
        site.admin_secret("");
        let text = site.run(&["plan"], 1);
        assert!(text.contains("localhost:1"), "{text}");

        // Each connection takes the tunnel: those to databases, and the logins of applications.
        let text = site.run(&["apply", "--connect-to", &tunnel], 0);
        assert!(text.contains(&format!("connected to {tunnel} (--connect-to)")), "{text}");
        assert!(text.contains("on localhost:1\n"), "the host and the port are those of the server");
        let text = site.run(&["apply", "--connect-to", &tunnel], 0);
        assert!(text.contains("no_change"), "{text}");
        let owner =
            site.fixture.query("SELECT datdba::regrole FROM pg_database WHERE datname = 'shop'");
        assert_eq!(owner, "shop_owner");
        site.fixture
            .server
            .sql_as("shop_owner", &password("shop"), "shop", "CREATE TABLE t ()")
            .unwrap();

        // The name of the host is verified, not the address.
        let text = site.run(&["plan", "--host", UNKNOWN, "--connect-to", &tunnel], 1);
        assert!(text.contains(UNKNOWN) && text.contains("localhost"), "{text}");
        assert!(text.contains("error[certificate-host-mismatch]"), "{text}");
        let source = format!("file:{}", site.fixture.path().display());
        let unverified = ["--host", UNKNOWN, "--connect-to", &tunnel, "--tls", "require"];
        let words = [&["plan", "--env", "dev", "--secrets", &source], unverified.as_slice()];
        let mut command = site.fixture.without_connection(&site.definitions, &words.concat());
        let text = expect(&command.output().unwrap(), 0);
        assert!(text.contains(&format!("on {UNKNOWN}:1\n")), "{text}");

        // A wrong address is named, with the place that sets it.
        let text = site.run(&["plan", "--connect-to", "127.0.0.1:1"], 1);
        assert!(text.contains(": 127.0.0.1:1: connection refused"), "{text}");
        assert!(
            text.contains("check the address to connect to, from --connect-to ADDRESS[:PORT]"),
            "{text}"
        );
        let text = site.run(&["plan", "--connect-to", "tunnel.invalid"], 1);
        assert!(text.contains("tunnel.invalid: the host name cannot be resolved"), "{text}");
        let text = site.run(&["plan", "--connect-to", "127.0.0.1:"], 64);
        assert!(text.contains("is not an address such as `10.0.0.5`"), "{text}");
    }
}

#[test]
fn each_place_can_set_the_address() {
    let site = Site::on(Server::start(versions()[0]).unwrap());
    let tunnel = format!("127.0.0.1:{}", site.fixture.server.port());
    let connected = |source: &str| format!("connected to {tunnel} ({source})");
    site.admin_secret(&format!(r#", "connect_to": "{tunnel}""#));
    let text = site.run(&["plan"], 0);
    assert!(text.contains(&connected("this secret")), "{text}");
    let configuration = site.fixture.path().join("rdsprov.toml");
    let configure = |text: &str| std::fs::write(&configuration, text).unwrap();
    // What the file says replaces what the secret says.
    configure("connect_to = \"127.0.0.1:1\"\n");
    let text = site.run(&["plan"], 1);
    assert!(text.contains("check the address to connect to, from rdsprov.toml"), "{text}");
    site.admin_secret(r#", "connect_to": "127.0.0.1:1""#);
    configure(&format!("connect_to = \"{tunnel}\"\n"));
    let text = site.run(&["plan"], 0);
    assert!(text.contains(&connected("rdsprov.toml")), "{text}");
    configure("connect_to = \"127.0.0.1:1\"\n");
    let mut command = site.command(&["plan"]);
    let text = expect(&command.env("RDSPROV_CONNECT_TO", &tunnel).output().unwrap(), 0);
    assert!(text.contains(&connected("RDSPROV_CONNECT_TO")), "{text}");
    let text = site.run(&["plan", "--connect-to", &tunnel], 0);
    assert!(text.contains(&connected("--connect-to")), "{text}");

    configure("connect_to = \"a b\"\n");
    let text = site.run(&["plan"], 64);
    assert!(text.contains("rdsprov.toml is not valid: line 1, column 14"), "{text}");
    configure("");
    site.admin_secret(r#", "connect_to": 5432"#);
    let text = site.run(&["plan"], 1);
    assert!(text.contains("connect_to"), "{text}");
}

/// TLS can be disabled only for connections that do not leave the machine.
#[test]
fn tunnel_without_tls() {
    let site = Site::on(Server::start_without_tls(versions()[0]).unwrap());
    let tunnel = format!("127.0.0.1:{}", site.fixture.server.port());
    let run = |host: &str, to: &str, code| {
        site.run(&["plan", "--tls", "disable", "--host", host, "--connect-to", to], code)
    };
    run("localhost", &tunnel, 0);
    let text = run(UNKNOWN, &tunnel, 1);
    assert!(text.contains(UNKNOWN), "{text}");
}

/// A paused Aurora cluster answers the first login only after a while.
#[test]
fn server_that_answers_late() {
    let site = Site::on(Server::start_without_tls(versions()[0]).unwrap());
    std::thread::scope(|scope| {
        for seconds in [20, 40] {
            let site = &site;
            scope.spawn(move || resumed_after(site, seconds));
        }
        scope.spawn(|| limits_of_a_late_server(&site));
    });
}

fn resumed_after(site: &Site, seconds: u64) {
    let is_resumed = AtomicBool::new(false);
    let paused = LoginProxy::start(&site.fixture.server, move |_| {
        if !is_resumed.swap(true, Ordering::SeqCst) {
            std::thread::sleep(Duration::from_secs(seconds));
        }
        None
    })
    .unwrap();
    // The default is long enough.
    let text = expect(&site.through(&paused, &[]), 0);
    assert!(text.contains("note: waiting up to 1 min for the server"), "{seconds}: {text}");
    assert!(text.contains("create database "), "{seconds}: {text}");
}

fn limits_of_a_late_server(site: &Site) {
    let through = |proxy: &LoginProxy, timeout: &str, code| {
        expect(&site.through(proxy, &["--connect-timeout", timeout]), code)
    };
    let note = |timeout: &str| format!("note: waiting up to {timeout} for the server 127.0.0.1:");
    let late = LoginProxy::start(&site.fixture.server, |_| {
        std::thread::sleep(Duration::from_secs(6));
        None
    })
    .unwrap();
    let text = through(&late, "1m", 0);
    assert_eq!(text.matches(&note("1 min")).count(), 1, "{text}");
    assert!(text.contains("an Aurora cluster that is paused needs up to 40 s"), "{text}");
    assert!(text.contains("create database "), "{text}");

    let silent = LoginProxy::start(&site.fixture.server, |_| Some(Intercept::Silence)).unwrap();
    let text = through(&silent, "6", 1);
    assert!(text.contains(&note("6 s")), "{text}");
    assert!(text.contains("error[server-not-responding]: "), "{text}");
    assert!(text.contains("no response within 6 s"), "{text}");
    let text = through(&silent, "1s", 1);
    assert!(!text.contains("waiting up to"), "{text}");
    let text = through(&silent, "0", 64);
    assert!(text.contains("`0` is not a time from 1 to 3600 seconds"), "{text}");
}

/// A rotation of the administrator's password can end between the moment when a run reads the secret and
/// its login.
#[test]
fn secret_of_the_administrator_is_read_again() {
    let site = Site::on(Server::start_without_tls(versions()[0]).unwrap());
    let id = "goldenpath/dev/rds/master";
    let file = site.fixture.path().join(format!("{id}.json"));
    let rotated = std::fs::read_to_string(&file).unwrap();
    let stale =
        rotated.replace(site.fixture.server.master_password(), "Canary-before-the-rotation");
    let logins = Arc::new(AtomicUsize::new(0));
    let plan = |new_secret: Option<String>| {
        std::fs::write(&file, &stale).unwrap();
        logins.store(0, Ordering::SeqCst);
        let (file, logins) = (file.clone(), logins.clone());
        let proxy = LoginProxy::start(&site.fixture.server, move |_| {
            logins.fetch_add(1, Ordering::SeqCst);
            if let Some(text) = &new_secret {
                std::fs::write(&file, text).unwrap();
            }
            None
        })
        .unwrap();
        site.through(&proxy, &[])
    };
    let text = expect(&plan(Some(rotated)), 0);
    assert!(text.contains("create database "), "{text}");
    // A secret that has not changed is not tried again.
    let text = expect(&plan(None), 1);
    assert!(text.contains("error[authentication-failed]: "), "{text}");
    assert_eq!(logins.load(Ordering::SeqCst), 1);
}
