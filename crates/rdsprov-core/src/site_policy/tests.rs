use super::*;

fn policy(text: &str) -> SitePolicy {
    SitePolicy::from_toml("policy.toml", text).unwrap()
}

#[test]
fn approval_is_never_weaker_than_either() {
    use ApprovalPolicy::{None as Free, Plan, Required};
    let approvals = [Free, Required, Plan];
    for configured in approvals {
        for (required, text) in approvals.iter().zip(["none", "required", "plan"]) {
            let policy = policy(&format!("[environments.\"*\"]\napproval = \"{text}\""));
            let tightened = policy.tighten(Policy::declared("qa", Some(configured)));
            assert_eq!(tightened.approval(), configured.max(*required));
        }
    }
}

#[test]
fn own_table_replaces_the_general_one() {
    let policy = policy(
        "[environments.\"*\"]\napproval = \"plan\"\nadmin_secrets = [\"x/{environment}/*\"]\n\
         [environments.dev]\n",
    );
    let dev = policy.tighten(Policy::built_in("dev").unwrap());
    assert!(dev.allows_all_hazards());
    let prod = policy.tighten(Policy::built_in("prod").unwrap());
    assert_eq!(prod.approval(), ApprovalPolicy::Plan);
    let secret = |id: &str| SecretId(id.to_owned());
    let check = |id: &str| policy.check_admin_secret("prod", Some(&secret(id)));
    assert_eq!(check("x/prod/rds"), Ok(()));
    assert!(check("x/dev/rds").is_err() && check("y/x/prod/rds").is_err());
    assert!(policy.check_admin_secret("prod", None).is_err());
    assert_eq!(policy.check_admin_secret("dev", None), Ok(()));
}

#[test]
fn master_secret_is_that_of_an_environment() {
    let policy = policy(
        "[environments.\"*\"]\nadmin_secrets = [\"x/{environment}/rds\"]\n[environments.dev]\n\
         [environments.qa]\nadmin_secrets = [\"qa\", \"arn:aws:secretsmanager:eu-west-2:1:secret:own-*\"]",
    );
    let arn = |account: &str, name: &str| {
        format!("arn:aws:secretsmanager:eu-west-2:{account}:secret:{name}-AbCdEf")
    };
    let allows = |id: &str| {
        let (id, rotated) = (SecretId(id.to_owned()), SecretId(arn("1", "shop")));
        policy.check_master_secret(&id, &rotated).is_ok()
    };
    assert!(allows("x/prod/rds") && allows("qa") && !allows("shop"));
    assert!(allows(&arn("1", "x/prod/rds")) && allows(&arn("1", "qa")) && allows(&arn("1", "own")));
    assert!(!allows(&arn("2", "x/prod/rds")) && !allows(&arn("2", "own")));
    let (id, rotated) = (SecretId("shop".to_owned()), SecretId("shop".to_owned()));
    assert!(SitePolicy::default().check_master_secret(&id, &rotated).is_ok());
}

#[test]
fn every_file_must_allow_a_run() {
    let one = policy("[tls]\nmode = \"require\"");
    let two = policy("[tls]\nmode = \"verify-full\"\n[audit]\nledger = true");
    assert_eq!(one.check_tls(TlsMode::Require), Ok(()));
    assert!(one.check_tls(TlsMode::Disable).is_err());
    let both = one.and(two);
    assert!(both.check_tls(TlsMode::Require).is_err());
    assert_eq!(both.check_tls(TlsMode::VerifyFull), Ok(()));
    let ledger = |policy: &SitePolicy, used: Option<&str>| {
        policy.check_ledger(used.map(Path::new), |one, other| one == other).is_ok()
    };
    assert!(!ledger(&both, None) && ledger(&both, Some("any.jsonl")));
    let one_ledger = policy("[audit]\nledger = \"/srv/ledger.jsonl\"");
    for (used, expected) in
        [(None, false), (Some("any.jsonl"), false), (Some("/srv/ledger.jsonl"), true)]
    {
        assert_eq!(ledger(&both.clone().and(one_ledger.clone()), used), expected, "{used:?}");
    }
    // Relative to the directory of the policy.
    let relative = SitePolicy::from_toml("/etc/p.toml", "[audit]\nledger = \"l.jsonl\"").unwrap();
    assert!(ledger(&relative, Some("/etc/l.jsonl")) && !ledger(&relative, Some("l.jsonl")));
    assert!(SitePolicy::from_toml("p.toml", "[audit]\nledger = \"\"").is_err());
    assert_eq!(both.check_audit_table(None), Ok(()));
    let [own, other] = ["rdsprov_audit.changes", "zz.t"].map(|name| name.parse().unwrap());
    let any = policy("[audit]\ntable = true");
    assert!(any.check_audit_table(None).is_err() && any.audit_table().is_none());
    assert_eq!(any.check_audit_table(Some(&other)), Ok(()));
    let named = policy("[audit]\ntable = \"rdsprov_audit.changes\"");
    assert_eq!(named.audit_table().map(|(_, table)| table), Some(&own));
    assert_eq!(named.check_audit_table(Some(&own)), Ok(()));
    assert!(named.check_audit_table(Some(&other)).is_err());
    assert!(any.and(named).check_audit_table(None).is_err());
    assert!(ledger(&SitePolicy::default(), None));
}

#[test]
fn undeclared_access_is_never_treated_less_strictly() {
    use UndeclaredAccess::{Allow, Refuse, Report};
    let report = policy("[environments.prod]\nundeclared_access = \"report\"");
    let stricter = policy("[environments.\"*\"]\nundeclared_access = \"refuse\"");
    for (environment, configured, expected) in
        [("prod", Allow, Report), ("prod", Refuse, Refuse), ("qa", Allow, Allow)]
    {
        assert_eq!(report.undeclared_access(environment, configured), expected);
    }
    assert_eq!(report.and(stricter).undeclared_access("prod", Allow), Refuse);
}

#[test]
fn only_the_ca_file_of_the_site_is_trusted() {
    let path = |text: &str| CaFile::Path(text.into());
    let options = SettingOrigin::Options;
    let check = |policy: &SitePolicy, given: Option<&CaFile>| {
        let used = policy.check_ca_file(given.map(|one| (one, options)));
        used.map(|used| used.map(|(_, one)| one.clone())).map_err(|error| error.to_string())
    };
    let (site, other) = (path("/etc/rdsprov/ca.pem"), path("repository/ca.pem"));
    let file = |text: &str| SitePolicy::from_toml("/etc/rdsprov/policy.toml", text).unwrap();
    for (text, own, others) in [
        // Requires nothing.
        ("", None, true),
        ("[tls]\nmode = \"require\"", None, true),
        ("[tls]\nmode = \"verify-full\"", None, false),
        ("[tls]\nca_file = \"ca.pem\"", Some(&site), false),
        ("[tls]\nmode = \"verify-full\"\nca_file = \"/etc/rdsprov/ca.pem\"", Some(&site), false),
        ("[tls]\nca_file = \"system\"", Some(&CaFile::System), false),
    ] {
        let policy = file(text);
        assert_eq!(check(&policy, None), Ok(own.cloned()), "{text}");
        assert_eq!(check(&policy, Some(&other)).is_ok(), others, "{text}");
        let allows_site = others || own == Some(&site);
        assert_eq!(check(&policy, Some(&site)).is_ok(), allows_site, "{text}");
        assert_eq!(check(&policy, Some(&CaFile::System)), Ok(None), "{text}");
    }
    // A CA file implies the verification.
    let policy = file("[tls]\nca_file = \"ca.pem\"");
    assert!(policy.check_tls(TlsMode::Require).is_err());
    let weaker = "[tls]\nmode = \"require\"\nca_file = \"ca.pem\"";
    assert!(SitePolicy::from_toml("policy.toml", weaker).is_err());
    // Each file must allow the CA file of the other.
    let strict = || file("[tls]\nmode = \"verify-full\"");
    assert!(check(&strict().and(policy.clone()), None).is_err());
    assert!(check(&policy.clone().and(strict()), None).is_err());
    let system = || file("[tls]\nca_file = \"system\"");
    for both in [policy.clone().and(system()), system().and(policy)] {
        assert_eq!(check(&both, None), Ok(Some(CaFile::System)));
    }
}

#[test]
fn lowest_maximum_size_counts() {
    let one = policy("[maximum_file_sizes]\ndefinitions = 1000\nplan = 10");
    let two = policy("[maximum_file_sizes]\ndefinitions = 500");
    let both = one.and(two);
    assert_eq!(both.definitions_limit().map(|limit| limit.bytes), Some(500));
    assert_eq!(both.plan_limit().map(|limit| limit.bytes), Some(10));
    assert_eq!(both.configuration_limit(), None);
}

#[test]
fn only_listed_hazards_may_be_allowed() {
    let policy = policy("[environments.prod]\nallow = [\"revokes_access\"]");
    assert_eq!(policy.check_allowed("prod", &[Hazard::RevokesAccess]), Ok(()));
    assert!(policy.check_allowed("prod", &[Hazard::ChangesOwner]).is_err());
    assert_eq!(policy.check_allowed("dev", &[Hazard::ChangesOwner]), Ok(()));
    // What a run need not allow by name, the site could not limit.
    let dev = SitePolicy::from_toml("policy.toml", "[environments.dev]\nallow = []").unwrap();
    assert!(!dev.tighten(Policy::built_in("dev").unwrap()).allows_all_hazards());
}

/// Without a site policy, `rdsprov.toml` decides; with one, each file must allow the teardown.
#[test]
fn environment_is_ephemeral_only_if_each_file_says_so() {
    let review = || policy("[environments.review]\nephemeral = true\n[environments.\"*\"]");
    let all = || policy("[environments.\"*\"]\nephemeral = true\n[environments.prod]");
    let allows = |site: SitePolicy, name: &str| site.check_ephemeral(name).is_ok();
    assert!(allows(SitePolicy::default(), "prod"));
    assert!(allows(review(), "review") && !allows(review(), "prod"));
    assert!(allows(all(), "review") && !allows(all(), "prod"));
    assert!(allows(all().and(review()), "review") && !allows(all().and(review()), "qa"));
    for silent in ["", "[audit]\nledger = true", "[environments.review]"] {
        assert!(!allows(policy(silent), "review"), "{silent}");
        assert!(!allows(review().and(policy(silent)), "review"), "{silent}");
        assert!(!allows(policy(silent).and(review()), "review"), "{silent}");
    }
}

#[test]
fn environment_without_rules_is_refused() {
    let prod = policy("[environments.prod]\napproval = \"plan\"");
    assert_eq!(prod.check_environment("prod"), Ok(()));
    assert!(prod.check_environment("prod2").is_err());
    assert_eq!(policy("[environments.\"*\"]").check_environment("prod2"), Ok(()));
    assert_eq!(policy("[audit]\nledger = true").check_environment("prod2"), Ok(()));
}

/// The example in the reference is valid, and sets each key.
#[test]
fn reference_example_sets_each_key() {
    let reference = include_str!("../../../../docs/reference.md");
    let section = reference.split("## Site policy\n").nth(1).unwrap();
    let example = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let policy = policy(example);
    let [(_, File { maximum_file_sizes, tls, audit, secrets, environments })] =
        policy.files.as_slice()
    else {
        panic!()
    };
    let FileSizes { definitions, configuration, plan } = maximum_file_sizes;
    assert!(definitions.is_some() && configuration.is_some() && plan.is_some());
    assert!(tls.mode.is_some() && tls.ca_file.is_some() && audit.ledger == RequiredLedger::Any);
    assert!(secrets.kms_keys.is_some() && secrets.tags.iter().next().is_some());
    let prod = &environments["prod"];
    assert!(prod.approval.is_some() && prod.admin_secrets.is_some() && prod.allow.is_some());
    assert!(prod.memberships.is_some() && prod.undeclared_access.is_some());
    assert!(!prod.ephemeral && environments["review"].ephemeral);
}

#[test]
fn unknown_keys_are_errors() {
    for text in [
        "[environment.prod]",
        "[environments.prod]\naproval = \"plan\"",
        "[tsl]",
        "[maximum_file_sizes]\nplans = 1",
    ] {
        assert!(SitePolicy::from_toml("policy.toml", text).is_err(), "{text}");
    }
}
