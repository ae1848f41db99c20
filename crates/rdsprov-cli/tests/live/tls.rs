//! The command verifies the server's certificate by default. Each kind of invalid certificate has
//! its own message, with a hint.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rdsprov_testkit::versions;

use crate::fixture::{CANARY, Fixture, expect, program};

/// The TLS messages of servers differ between versions.
fn oldest_and_newest() -> impl Iterator<Item = u32> {
    let versions: BTreeSet<u32> = versions().into_iter().collect();
    let ends = [versions.first().copied(), versions.last().copied()];
    BTreeSet::from(ends).into_iter().flatten()
}

#[test]
fn server_certificate_is_verified() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let secrets = format!("file:{}", fixture.path().display());
    let plan = |more: &[&str]| {
        let words = [&["plan", "--secrets", &secrets], more].concat();
        let mut command = fixture.without_connection("teams/standalone.tfvars", &words);
        command.output().unwrap()
    };
    let ca = fixture.server.ca_file().display().to_string();
    expect(&plan(&["--ca-file", &ca]), 0);
    let output_text = expect(&plan(&[]), 1);
    assert!(output_text.contains("--ca-file"), "{output_text}");
    let output_text = expect(&plan(&["--ca-file", "/nonexistent.pem"]), 1);
    assert!(output_text.contains("/nonexistent.pem"), "{output_text}");
    let own = fixture.path().join("goldenpath/dev/rds/master.json").display().to_string();
    let output_text = expect(&plan(&["--ca-file", &own]), 1);
    assert!(output_text.contains("contains no certificate"), "{output_text}");
    expect(&plan(&["--tls", "require"]), 0);
    let output_text = expect(&plan(&["--tls", "require", "--ca-file", &ca]), 64);
    assert!(
        output_text.contains("[unused-ca-file]") && output_text.contains("use --tls verify-full"),
        "{output_text}"
    );
    // The server rejects connections without TLS. For hosts other than loopback the client does not
    // try.
    let output_text = expect(&plan(&["--tls", "disable"]), 1);
    assert!(
        output_text.contains("no encryption") && output_text.contains("--tls verify-full"),
        "{output_text}"
    );
    let output_text = expect(&plan(&["--tls", "disable", "--host", "db.example.com"]), 1);
    assert!(
        output_text.contains("[tls-required]") && output_text.contains("db.example.com"),
        "{output_text}"
    );
    expect(&plan(&["--tls", "off"]), 64);
}

/// A certificate with its private key.
pub struct Pair {
    certificate: String,
    key: String,
}

/// A certificate authority for tests.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::with(name, |_| ())
    }

    fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Issues an intermediate CA.
    fn issue_intermediate(&self, name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn issue(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

pub fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn self_signed(params: CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A server whose certificate can be changed, and the command that connects to it.
pub struct TlsFixture {
    pub fixture: Fixture,
    pub definitions: String,
}

impl TlsFixture {
    pub fn new(major: u32) -> Self {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        let definitions = fixture.definitions(
            r#"environment = "dev"
               application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user" }
               }"#,
        );
        Self { fixture, definitions }
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.fixture.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Installs a certificate on the server.
    pub fn install(&self, pair: &Pair) {
        let data = self.fixture.server.data_directory();
        fs::write(data.join("server.crt"), &pair.certificate).unwrap();
        fs::write(data.join("server.key"), &pair.key).unwrap();
        self.reload();
    }

    fn reload(&self) {
        let loaded = || self.fixture.query("SELECT pg_conf_load_time()");
        let before = loaded();
        self.fixture.query("SELECT pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(10);
        while loaded() == before {
            assert!(Instant::now() < deadline, "the server did not reload its configuration");
        }
    }

    /// Returns `plan` without any TLS option.
    fn plan(&self) -> Command {
        let secrets = format!("file:{}", self.fixture.path().display());
        let mut command =
            self.fixture.without_connection(&self.definitions, &["plan", "--secrets", &secrets]);
        for variable in ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "SSL_CERT_FILE", "SSL_CERT_DIR"]
        {
            command.env_remove(variable);
        }
        command
    }

    #[track_caller]
    fn expect_with_ca(&self, ca_file: &Path, code: i32, says: &[&str]) {
        expect_all(self.plan().arg("--ca-file").arg(ca_file), code, says);
    }
}

#[track_caller]
fn expect_all(command: &mut Command, code: i32, says: &[&str]) {
    let output_text = expect(&command.output().unwrap(), code);
    for words in says {
        assert!(output_text.contains(words), "{words:?} is missing: {output_text}");
    }
    for raw in ["InvalidCertificate", "CertificateError", "UnknownIssuer", "Os {", "Custom {"] {
        assert!(!output_text.contains(raw), "{output_text}");
    }
}

#[test]
fn root_certificates_have_four_sources() {
    let site = TlsFixture::new(versions()[0]);
    let authority = Authority::new("Test CA");
    site.install(&authority.issue(named("server", &["localhost"])));
    let ca = site.file("ca.pem", &authority.certificate);
    let other = site.file("other.pem", &Authority::new("Other CA").certificate);
    let unknown = |trusted: &str| {
        let fact = format!("unknown CA (CN=Test CA), which is not in {trusted}\n");
        ["cannot connect to localhost:".to_owned(), fact, "with --ca-file".to_owned()]
    };
    let expect_unknown = |command: &mut Command, trusted: &str| {
        let says = unknown(trusted);
        expect_all(command, 1, &says.each_ref().map(String::as_str));
    };
    let plan = || site.plan();

    expect_unknown(&mut plan(), "the certificates of the system and of Amazon RDS");
    // A CA with the name of Amazon RDS: the program contains the certificates of some regions.
    for (region, says) in [
        (
            "mx-central-1",
            "truststore.pki.rds.amazonaws.com/mx-central-1/mx-central-1-bundle.pem), and name the file with --ca-file FILE",
        ),
        ("us-gov-west-1", "us-gov-west-1-bundle.pem), and name the file with --ca-file FILE"),
        ("cn-north-1", "download the certificates of the region (the documentation of Amazon RDS"),
    ] {
        let amazon = Authority::new(&format!("Amazon RDS {region} Root CA RSA2048 G1"));
        site.install(&amazon.issue(named("server", &["localhost"])));
        let fact =
            format!("Amazon RDS in region {region} are not among those that rdsprov contains");
        expect_all(&mut plan(), 1, &[&fact, says]);
        site.expect_with_ca(&site.file("amazon.pem", &amazon.certificate), 0, &[]);
    }
    // The CA of a region whose certificates are contained is not the real one.
    let forged = Authority::new("Amazon RDS eu-west-2 Root CA RSA2048 G1");
    site.install(&forged.issue(named("server", &["localhost"])));
    expect_all(&mut plan(), 1, &["(CN=Amazon RDS eu-west-2 Root CA RSA2048 G1), which is not in"]);
    site.install(&authority.issue(named("server", &["localhost"])));
    expect_all(plan().arg("--ca-file").arg(&ca), 0, &[]);
    expect_all(plan().env("RDSPROV_CA_FILE", &ca), 0, &[]);
    expect_all(plan().env("PGSSLROOTCERT", &ca), 0, &[]);
    let of_other = format!("the CA file {}", other.display());
    expect_unknown(plan().arg("--ca-file").arg(&other).env("PGSSLROOTCERT", &ca), &of_other);
    expect_all(plan().env("RDSPROV_CA_FILE", "").env("PGSSLROOTCERT", &ca), 0, &[]);
    expect_all(
        plan().arg("--tls").arg("require").env("PGSSLROOTCERT", &ca),
        64,
        &["PGSSLROOTCERT"],
    );

    // The system's own certificates, and no others if requested.
    expect_all(plan().env("SSL_CERT_FILE", &ca), 0, &[]);
    expect_all(plan().env("SSL_CERT_FILE", &ca).env("PGSSLROOTCERT", "system"), 0, &[]);
    expect_unknown(
        plan().env("SSL_CERT_FILE", &other).env("PGSSLROOTCERT", "system"),
        "the certificates of the system",
    );
    let none = site.file("none.pem", "");
    expect_all(
        plan().args(["--ca-file", "system"]).env("SSL_CERT_FILE", none),
        1,
        &["the system has no root certificates", "ca-certificates"],
    );

    // rdsprov.toml has the lowest precedence, and an empty variable counts as unset.
    site.file("rdsprov.toml", "[tls]\nca_file = \"ca.pem\"\n");
    expect_all(&mut plan(), 0, &[]);
    expect_all(plan().env("PGSSLROOTCERT", ""), 0, &[]);
    expect_unknown(plan().env("PGSSLROOTCERT", &other), &of_other);
    assert!(!site.fixture.server.log().contains(CANARY), "a password reached the server's log");
}

#[test]
fn invalid_certificates_have_messages() {
    oldest_and_newest().for_each(invalid_certificates);
}

fn invalid_certificates(major: u32) {
    let site = TlsFixture::new(major);
    let authority = Authority::new("Test CA");
    let ca = site.file("ca.pem", &authority.certificate);

    site.install(&authority.issue(named("server", &["db.example.com", "127.0.0.9"])));
    site.expect_with_ca(
        &ca,
        1,
        &["not for localhost, but for db.example.com, 127.0.0.9", "--host"],
    );
    site.install(&authority.issue(named("localhost", &[])));
    site.expect_with_ca(&ca, 1, &["for no host at all", "subjectAltName"]);

    let mut params = named("server", &["localhost"]);
    params.not_after = date_time_ymd(2020, 2, 3);
    site.install(&authority.issue(params));
    site.expect_with_ca(
        &ca,
        1,
        &["(CN=server) expired at 2020-02-03T00:00:00Z", "renew the server certificate"],
    );
    let mut params = named("server", &["localhost"]);
    params.not_before = date_time_ymd(2999, 1, 1);
    site.install(&authority.issue(params));
    site.expect_with_ca(&ca, 1, &["is not valid before 2999-01-01T00:00:00Z", "clock"]);

    let old = Authority::with("Old CA", |params| params.not_after = date_time_ymd(2020, 1, 1));
    site.install(&old.issue(named("server", &["localhost"])));
    let old = site.file("old.pem", &old.certificate);
    site.expect_with_ca(&old, 1, &["(CN=Old CA) expired at 2020-01-01T00:00:00Z", "--ca-file"]);

    // Another CA with the same name as a trusted one.
    site.install(&Authority::new("Test CA").issue(named("server", &["localhost"])));
    site.expect_with_ca(&ca, 1, &["names a trusted CA (CN=Test CA)", "--ca-file"]);

    let mut params = named("a client", &["localhost"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    site.install(&authority.issue(params));
    site.expect_with_ca(&ca, 1, &["(CN=a client) is not meant for servers"]);

    let middle = authority.issue_intermediate("Middle CA");
    let mut chain = middle.issue(named("server", &["localhost"]));
    site.install(&chain);
    site.expect_with_ca(&ca, 1, &["unknown CA (CN=Middle CA)"]);
    chain.certificate.push_str(&middle.certificate);
    site.install(&chain);
    site.expect_with_ca(&ca, 0, &[]);

    // Certificates without a CA: one from `openssl req -x509`, and one without CA constraint.
    let mut params = named("alone", &["localhost"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let alone = self_signed(params.clone());
    site.install(&alone);
    site.expect_with_ca(&ca, 1, &["presents a CA certificate (CN=alone)", "--ca-file"]);
    site.expect_with_ca(&site.file("alone.pem", &alone.certificate), 0, &[]);
    let again = site.file("again.pem", &self_signed(params).certificate);
    let not_in = format!("and it is not in the CA file {}", again.display());
    site.expect_with_ca(&again, 1, &["presents a CA certificate (CN=alone)", &not_in]);
    let mut params = named("alone", &["db.example.com"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let elsewhere = self_signed(params);
    site.install(&elsewhere);
    let elsewhere = site.file("elsewhere.pem", &elsewhere.certificate);
    site.expect_with_ca(&elsewhere, 1, &["not for localhost, but for db.example.com"]);
    let plain = self_signed(named("plain", &["localhost"]));
    site.install(&plain);
    let not_in = format!("self-signed (CN=plain) and is not in the CA file {}", ca.display());
    site.expect_with_ca(&ca, 1, &[&not_in, "--ca-file"]);
    site.expect_with_ca(&site.file("plain.pem", &plain.certificate), 0, &[]);

    site.fixture.query("ALTER SYSTEM SET ssl = off");
    site.reload();
    site.expect_with_ca(&ca, 1, &["does not offer TLS", "ssl = on", "--tls disable"]);
    assert!(!site.fixture.server.log().contains(CANARY), "a password reached the server's log");
}

/// Servers that are not PostgreSQL, and answers of a proxy.
#[test]
fn invalid_tls_answers_have_messages() {
    let site = TlsFixture::new(versions()[0]);
    for (answer, says) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not offer TLS"),
        (b"SHello, and welcome", "agreed to TLS, but its response is not TLS"),
        (b"S\x15\x03\x01\x00\x02\x02\x46", "supports no TLS version or cipher"),
        (b"S\x15\x03\x01\x00\x02\x02\x28", "rejected the TLS handshake"),
        (b"S\x15\x03\x03\x00\x02\x02\x74", "requires a client certificate"),
        (b"S\x15\x03\x03\x00\x02\x02\x50", "the server sent alert 80"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            // Reads until the client disconnects.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let place = format!("cannot connect to localhost:{port} over TLS");
        expect_all(site.plan().args(["--host", "localhost", "--port", &port]), 1, &[&place, says]);
        answering.join().unwrap();
    }
}

#[test]
fn client_certificates_are_sent() {
    oldest_and_newest().for_each(client_certificates);
}

fn client_certificates(major: u32) {
    let site = TlsFixture::new(major);
    let authority = Authority::new("Test CA");
    site.install(&authority.issue(named("server", &["localhost"])));
    let data = site.fixture.server.data_directory();
    fs::write(data.join("clients.pem"), &authority.certificate).unwrap();
    site.fixture.query("ALTER SYSTEM SET ssl_ca_file = 'clients.pem'");
    let hba = |line: &str| {
        let text = format!("local all rdsadmin trust\nhostssl all all 127.0.0.1/32 {line}\n");
        fs::write(data.join("pg_hba.conf"), text).unwrap();
        site.reload();
    };
    hba("scram-sha-256 clientcert=verify-full");

    let ca = site.file("ca.pem", &authority.certificate);
    let plan = || {
        let mut command = site.plan();
        command.arg("--ca-file").arg(&ca);
        command
    };
    let pair = |name: &str, pair: &Pair| {
        let certificate = site.file(&format!("{name}.crt"), &pair.certificate);
        (certificate, site.file(&format!("{name}.key"), &pair.key))
    };
    let with = |(certificate, key): &(PathBuf, PathBuf)| {
        let mut command = plan();
        command.arg("--client-cert").arg(certificate).arg("--client-key").arg(key);
        command
    };

    // The four sources of a client certificate.
    let wanted =
        &["requires a valid client certificate", "--client-cert FILE and --client-key FILE"];
    expect_all(&mut plan(), 1, wanted);
    let own = pair("own", &authority.issue(named("platform_admin", &[])));
    let (certificate, key) = &own;
    expect_all(&mut with(&own), 0, &[]);
    let ours = |command: &mut Command| {
        command.env("RDSPROV_CLIENT_CERT", certificate).env("RDSPROV_CLIENT_KEY", key);
    };
    let mut command = plan();
    ours(&mut command);
    expect_all(&mut command, 0, &[]);
    expect_all(plan().env("PGSSLCERT", certificate).env("PGSSLKEY", key), 0, &[]);
    let toml =
        site.file("rdsprov.toml", "[tls]\nclient_cert = \"own.crt\"\nclient_key = \"own.key\"");
    expect_all(&mut plan(), 0, &[]);
    expect_all(
        plan().arg("--client-cert").arg(certificate),
        64,
        &["[incomplete-client-certificate]", "and --client-key FILE"],
    );
    expect_all(plan().env("PGSSLKEY", key), 64, &["give both `PGSSLKEY` and `PGSSLCERT`"]);
    expect_all(plan().env("PGSSLKEY", "").env("PGSSLCERT", ""), 0, &[]);
    fs::remove_file(toml).unwrap();

    // Client certificates that the command rejects.
    let other = pair("other", &authority.issue(named("another_role", &[])));
    let mixed = (certificate.clone(), other.1.clone());
    expect_all(&mut with(&mixed), 1, &["other.key does not belong to client certificate"]);
    let swapped = (key.clone(), certificate.clone());
    expect_all(&mut with(&swapped), 1, &["own.key cannot be used: it contains no certificate"]);
    let double = (certificate.clone(), certificate.clone());
    expect_all(&mut with(&double), 1, &["own.crt cannot be used: it contains no private key"]);
    let missing = (certificate.clone(), site.fixture.path().join("missing.key"));
    expect_all(&mut with(&missing), 1, &["missing.key cannot be used: no such file"]);
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = (certificate.clone(), site.file("locked.key", locked));
    expect_all(&mut with(&locked), 1, &["it is encrypted", "unencrypted PEM file"]);
    for (mode, code) in [(0o644, 1), (0o660, 1), (0o400, 0)] {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        let says: &[&str] = if code == 0 { &[] } else { &["other users may read it", "chmod 600"] };
        expect_all(&mut with(&own), code, says);
    }

    // Client certificates that the server rejects.
    expect_all(&mut with(&other), 1, &["password authentication failed", "common name"]);
    let stranger =
        pair("stranger", &Authority::new("Other CA").issue(named("platform_admin", &[])));
    let refused = "does not accept the client certificate";
    expect_all(&mut with(&stranger), 1, &[refused, "its CA is unknown to the server"]);
    let mut params = named("platform_admin", &[]);
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = pair("expired", &authority.issue(params));
    expect_all(&mut with(&expired), 1, &[refused, "expired"]);

    // The certificate is for the administrator: an application's password is still checked.
    let mut apply = site.fixture.without_connection(&site.definitions, &["apply"]);
    apply.arg("--secrets").arg(format!("file:{}", site.fixture.path().display()));
    apply.arg("--ca-file").arg(&ca);
    ours(&mut apply);
    expect_all(&mut apply, 0, &["create role keycloak_user"]);
    let output_text = expect(&with(&own).output().unwrap(), 0);
    assert!(output_text.contains("not used for another role"), "{output_text}");
    assert!(!output_text.contains("set password"), "{output_text}");

    hba("cert");
    expect_all(&mut with(&own), 0, &[]);
    expect_all(&mut with(&other), 1, &["certificate authentication failed", "pg_ident.conf"]);
    assert!(!site.fixture.server.log().contains(CANARY), "a password reached the server's log");
}

#[test]
fn verbose_version_lists_bundled_certificates() {
    let version = |words: &[&str]| {
        let mut command = program();
        expect(&command.args(words).output().unwrap(), 0)
    };
    let plain = format!("rdsprov {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version(&["--version"]), plain);
    assert_eq!(version(&["-V"]), plain);
    let mut command = program();
    command.arg("-V").env("RDSPROV_LOG_FORMAT", "neither");
    assert_eq!(expect(&command.output().unwrap(), 0), plain);
    let more = version(&["--version", "--verbose"]);
    assert!(more.starts_with(&plain) && more.contains("Amazon certificates, from"), "{more}");
    for words in [&["-V", "-v"][..], &["-v", "-V"], &["-Vv"], &["-vV"], &["-v", "--version"]] {
        assert_eq!(version(words), more, "{words:?}");
    }
}

/// An IAM token is a credential: without TLS every listener can read it, without verification every
/// impostor. No server is contacted.
#[test]
fn iam_token_needs_a_verified_server() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let secrets = format!("file:{}", fixture.path().display());
    let port = fixture.server.port().to_string();
    let mark = fixture.server.log().len();
    for (mode, says) in
        [("require", "TLS mode `require` does not verify the server"), ("disable", "without TLS")]
    {
        let mut words = vec!["plan", "--secrets", &secrets, "--region", "eu-west-2"];
        words.extend(["--admin-auth", "iam", "--admin-user", "platform_admin"]);
        words.extend(["--host", "localhost", "--port", &port, "--tls", mode]);
        let mut command = fixture.without_connection("teams/standalone.tfvars", &words);
        command.envs(rdsprov_testkit::environment("http://127.0.0.1:9"));
        let output_text = expect(&command.output().unwrap(), 1);
        assert!(output_text.contains(says) && output_text.contains("verify-full"), "{output_text}");
    }
    assert_eq!(fixture.server.log().len(), mark, "the server was contacted");
}

/// A server with `trust` stands for one that accepts the token. A server with cleartext
/// authentication receives the token and rejects it.
#[test]
fn iam_token_is_sent_and_never_printed() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let secrets = format!("file:{}", fixture.path().display());
    let port = fixture.server.port().to_string();
    fixture.query("CREATE ROLE token_admin LOGIN CREATEDB CREATEROLE PASSWORD 'another'");
    let rules = fixture.server.data_directory().join("pg_hba.conf");
    let text = fs::read_to_string(&rules).unwrap();
    let run = |method: &str, code: i32, says: &str| {
        fs::write(&rules, format!("hostssl all token_admin all {method}\n{text}")).unwrap();
        fixture.query("SELECT pg_reload_conf()");
        let mut output_text = String::new();
        for _ in 0..50 {
            let mut words = vec!["plan", "-vv", "--secrets", &secrets, "--region", "eu-west-2"];
            words.extend(["--admin-auth", "iam", "--admin-user", "token_admin"]);
            words.extend(["--host", "localhost", "--port", &port]);
            let mut command = fixture.without_connection("teams/standalone.tfvars", &words);
            command.arg("--ca-file").arg(fixture.server.ca_file());
            command.envs(rdsprov_testkit::environment("http://127.0.0.1:9"));
            let output = command.output().unwrap();
            let both = [output.stdout.as_slice(), &output.stderr].concat();
            output_text = String::from_utf8_lossy(&both).into_owned();
            assert!(
                !output_text.contains("X-Amz-Signature="),
                "the output contains a token: {output_text}"
            );
            if output.status.code() == Some(code) && output_text.contains(says) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{method}: {output_text}");
    };
    run("trust", 0, "create database keycloak");
    run("password", 1, "password authentication failed for user \"token_admin\"");
    assert!(!fixture.server.log().contains("X-Amz-"), "a token is in the server's log");
}
