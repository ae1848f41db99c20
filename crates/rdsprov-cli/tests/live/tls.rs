//! Who is there is asked by default; less only by choice.

use rdsprov_testkit::versions;

use crate::bench::{Bench, expect};

#[test]
fn the_server_is_asked_who_it_is() {
    let bench = Bench::new(versions()[0]);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    let secrets = format!("file:{}", bench.path().display());
    let plan = |more: &[&str]| {
        let words = [&["plan", "--secrets", &secrets], more].concat();
        let mut command = bench.bare("teams/standalone.tfvars", &words);
        command.output().unwrap()
    };
    let ca = bench.server.ca_file().display().to_string();
    expect(&plan(&["--ca-file", &ca]), 0);
    let shown = expect(&plan(&[]), 1);
    assert!(shown.contains("--ca-file"), "{shown}");
    let shown = expect(&plan(&["--ca-file", "/nonexistent.pem"]), 1);
    assert!(shown.contains("/nonexistent.pem"), "{shown}");
    let own = bench.path().join("goldenpath/dev/rds/master.json").display().to_string();
    let shown = expect(&plan(&["--ca-file", &own]), 1);
    assert!(shown.contains("holds no certificate"), "{shown}");
    expect(&plan(&["--tls", "require"]), 0);
    // The server takes nobody without TLS, which is its right; strangers are not even asked.
    let shown = expect(&plan(&["--tls", "disable"]), 1);
    assert!(shown.contains("no encryption"), "{shown}");
    let shown = expect(&plan(&["--tls", "disable", "--host", "db.example.com"]), 1);
    assert!(shown.contains("db.example.com is not loopback"), "{shown}");
    expect(&plan(&["--tls", "off"]), 64);
}
