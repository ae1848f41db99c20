//! One example of each error, from which tests render every message in the wording of a front end.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::cancellation::StopReason;
use super::error::Error;
use super::failure::{Committed, Continuation, NoSpaceForRecords, NotRecorded, StatementFailure};
use super::left_out_reasons::LeftOutReasons;
use super::unreadable::Unreadable;
use super::usage_error::UsageError;
use crate::audit::{AuditError, Columns};
use crate::audit_table::AuditTableName;
use crate::config::{CaFile, ConfigError, SettingOrigin, TlsMode, TlsSettingsError};
use crate::definitions::{
    DefinitionErrors, Definitions, Rules, SourceText, Syntax, UnknownApplication,
};
use crate::desired::{Backup, RetireError};
use crate::gate::GateError;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{ApplicationName, DatabaseName, NameError, RoleName};
use crate::operations::RunError;
use crate::plan::rotation::RotationError;
use crate::plan::{Differences, Hazard, SavedPlanError, SlotError, Stale};
use crate::privilege::AccessLevel;
use crate::secret_id::{SecretId, TemplateError};
use crate::secrets::scram::NoRandomness;
use crate::secrets::{
    CredentialSource, CredentialSources, ObjectError, ObjectUri, PasswordProblem, SecretError,
    SecretOwner, SourceError, TokenError,
};
use crate::server::{
    ConnectError, FailedStep, FailureCause, LockHolder, LockWait, ObserveError, Pooler,
    RejectionCause, TlsError, TlsProblem, TrustedCas, WeakRequest,
};
use crate::site_policy::SitePolicyError;

/// Returns one error of each kind, with made-up values.
#[must_use]
pub fn error_examples() -> Vec<Error> {
    let mut examples = session_examples();
    examples.extend(secrets().into_iter().map(|error| {
        Error::Run(RunError::AdminSecret {
            error: Box::new(error),
            others: Vec::new(),
            none_exists: false,
        })
    }));
    examples.extend(sources().map(Error::Source));
    examples.extend(objects().into_iter().map(Error::Object));
    examples.extend(connections().into_iter().map(|error| Error::Run(error.into())));
    examples.extend(run_examples());
    examples.extend(gates().map(Error::Gate));
    examples.extend(saved_plans().into_iter().map(Error::SavedPlan));
    examples.extend(tls().into_iter().map(Error::Tls));
    examples.push(Error::Rotation(rotations()));
    examples
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn role() -> RoleName {
    RoleName::new_unchecked("shop_user")
}

fn path() -> PathBuf {
    PathBuf::from("some/file")
}

fn failed() -> io::Error {
    io::Error::from(io::ErrorKind::PermissionDenied)
}

/// Definitions in which nearly each line is wrong.
const WRONG: &str = r#"environment = "a b"
aws_regoin = "eu-west-2"
size = foo
application_databases = {
  a = { database_name = "pg", usernme = "pg_x", access_level = "admin", schemas = ["x", "x"] }
  b = { database_name = "shop", username = "shop", auth = "iam", secret = "x", createdb = 1 }
  c = { database_name = "shop", username = "s1" }
  d = { database_name = "shop", username = "s1", access_level = "reader", extensions = ["x"] }
  e = { database_name = "shop", username = "s1", access_level = "owner", connection_limit = -2 }
}
rds_config = { application_databases = {}, enabled = false }
"#;

fn wrong_definitions() -> DefinitionErrors {
    let source = |path: &str, text: &str, syntax| SourceText {
        path: path.to_owned(),
        text: text.to_owned(),
        syntax,
    };
    let single = |text: &str| vec![source("one.tfvars", text, Syntax::Hcl)];
    let groups = [
        single(WRONG),
        single("application_databases = {"),
        single("rds_config = { enabled = false }"),
        single("application_databases = null"),
        single(""),
        single(&WRONG.replace("rds_config", "other")),
        vec![source("one.json", "{]", Syntax::Json), source("one.toml", "[", Syntax::Toml)],
        Vec::new(),
    ];
    let rules = Rules { naming_pattern: Some("[".to_owned()), ..Rules::default() };
    let errors = groups.iter().filter_map(|group| Definitions::parse(group, &rules).err());
    DefinitionErrors::new(errors.flat_map(|errors| errors.errors).collect(), 0)
}

fn policy_file() -> String {
    text("/etc/rdsprov/policy.toml")
}

fn session_examples() -> Vec<Error> {
    let environment = || text("staging");
    vec![
        Error::NoDefinitions,
        Error::Unreadable {
            files: vec![
                Unreadable::Syntax { path: text("a.yaml") },
                Unreadable::Twice { path: text("a.tfvars") },
                Unreadable::Outside { path: text("../a.tfvars") },
                Unreadable::System {
                    path: text("b.tfvars"),
                    reason: failed().to_string(),
                    similar: Some(text("a.tfvars")),
                },
            ],
            others: wrong_definitions(),
        },
        Error::Definitions(wrong_definitions()),
        UnknownApplication { name: text("shp"), known: vec![text("shop")] }.into(),
        UnknownApplication { name: text("crm"), known: vec![text("shop")] }.into(),
        UnknownApplication { name: text("shp"), known: Vec::new() }.into(),
        Error::OtherEnvironment { requested: text("prod"), declared: text("dev") },
        Error::NoEnvironment { reads_definitions: true },
        Error::NoEnvironment { reads_definitions: false },
        Error::UnknownEnvironment { environment: text("prd"), known: vec![text("prod")] },
        ConfigError { path: text("rdsprov.toml"), reason: text("unknown key") }.into(),
        Error::ConfigUnreadable { path: path(), source: failed() },
        SitePolicyError::AdminSecret {
            policy: policy_file(),
            environment: environment(),
            secret: SecretId(text("goldenpath/prod/rds/master")),
            allowed: vec![text("goldenpath/staging/*")],
        }
        .into(),
        SitePolicyError::AdminSecret {
            policy: policy_file(),
            environment: environment(),
            secret: SecretId(text("goldenpath/prod/rds/master")),
            allowed: Vec::new(),
        }
        .into(),
        SitePolicyError::MasterSecret {
            policy: policy_file(),
            secret: SecretId(text("goldenpath/dev/wiki/postgres")),
        }
        .into(),
        SitePolicyError::Environment { policy: policy_file(), environment: environment() }.into(),
        SitePolicyError::IamToken { policy: policy_file(), environment: environment() }.into(),
        SitePolicyError::Hazard {
            policy: policy_file(),
            environment: environment(),
            hazard: Hazard::ChangesOwner,
        }
        .into(),
        SitePolicyError::Membership {
            policy: policy_file(),
            environment: environment(),
            role: role(),
            group: RoleName::new_unchecked("pg_read_all_data"),
        }
        .into(),
        SitePolicyError::Tls {
            policy: policy_file(),
            required: TlsMode::VerifyFull,
            mode: TlsMode::Require,
        }
        .into(),
        SitePolicyError::CaFile {
            policy: policy_file(),
            file: path(),
            origin: SettingOrigin::ConfigFile,
            allowed: None,
        }
        .into(),
        SitePolicyError::CaFile {
            policy: policy_file(),
            file: path(),
            origin: SettingOrigin::Options,
            allowed: Some(CaFile::Path(PathBuf::from("/etc/rdsprov/ca.pem"))),
        }
        .into(),
        SitePolicyError::NotEphemeral { policy: policy_file(), environment: environment() }.into(),
        SitePolicyError::NoLedger { policy: policy_file(), required: None }.into(),
        SitePolicyError::NoLedger { policy: policy_file(), required: Some("/srv/l.jsonl".into()) }
            .into(),
        SitePolicyError::OtherLedger {
            policy: policy_file(),
            required: "/srv/ledger.jsonl".into(),
            used: "own.jsonl".into(),
        }
        .into(),
        SitePolicyError::NoAuditTable { policy: policy_file() }.into(),
        SitePolicyError::OtherAuditTable {
            policy: policy_file(),
            required: AuditTableName::new_unchecked("rdsprov_audit", "changes"),
            used: AuditTableName::new_unchecked("other", "changes"),
        }
        .into(),
        Error::ConfigOutside { path: path() },
        Error::Outside { path: path(), option: Opt::AuditLedger },
        TemplateError { template: text("{build_id}"), placeholder: text("build_id") }.into(),
        TemplateError { template: text("{x}"), placeholder: text("x") }.into(),
        UsageError::AdminUserWithPassword.into(),
        UsageError::IncompleteIamLogin.into(),
        UsageError::StageOfRotation.into(),
        UsageError::NoAuditTable.into(),
        UsageError::NewSecretsWithoutAws.into(),
        UsageError::NotAHost { host: text("db.internal:5432") }.into(),
        UsageError::AdoptFromItself { environment: text("test") }.into(),
        UsageError::OtherSelection { saved: vec![text("shop")] }.into(),
        UsageError::OtherSelection { saved: Vec::new() }.into(),
        UsageError::NotAdditive.into(),
        UsageError::UnknownInstance { name: text("order"), known: vec![text("orders")] }.into(),
        UsageError::UnknownInstance { name: text("x"), known: vec![text("orders")] }.into(),
        UsageError::NoInstanceOfEnvironment { environment: text("prd"), known: vec![text("prod")] }
            .into(),
        UsageError::DelegateWithoutSecret.into(),
        UsageError::SecretOfIamDelegate.into(),
        UsageError::NotRetired { fact: text("no role of application shp is managed") }.into(),
        UsageError::NoBackup.into(),
        UsageError::BackupUnusable { path: text("shop.dump"), reason: text("it is a directory") }
            .into(),
        UsageError::BackupWithoutDrop { backup: Backup::File(text("shop.dump")) }.into(),
        UsageError::BackupWithoutDrop { backup: Backup::Nothing }.into(),
        UsageError::NoBuild.into(),
        UsageError::TooLong { what: "build id", length: 70_000 }.into(),
        UsageError::LedgerUnreadable {
            path: text("ledger.jsonl"),
            reason: text("it is a directory"),
        }
        .into(),
        UsageError::DeletionWithoutAws.into(),
        UsageError::Retire(RetireError::Declared {
            application: ApplicationName::for_delegates(),
            level: AccessLevel::Owner,
        })
        .into(),
        UsageError::DelegateName(NameError::Reserved {
            kind: "role",
            name: text("pg_x"),
            by: "PostgreSQL",
        })
        .into(),
        TlsSettingsError::UnusedCaFile { origin: SettingOrigin::Options }.into(),
        TlsSettingsError::UnusedCaFile { origin: SettingOrigin::ConfigFile }.into(),
        TlsSettingsError::HalfClientCertificate {
            origin: SettingOrigin::Libpq,
            given: Opt::ClientCert,
            missing: Opt::ClientKey,
        }
        .into(),
        TokenError::NoRegion.into(),
        TokenError::NoCredentials(SourceError::NoCredentials { sources: tried_sources() }).into(),
        TokenError::AwsNotSupported.into(),
        TokenError::Signing(text("no key")).into(),
        Error::NoSuchDatabase {
            database: DatabaseName::new_unchecked("shop"),
            environment: environment(),
        },
        Error::NothingMatches { databases: Vec::new() },
        Error::NothingMatches { databases: vec![DatabaseName::new_unchecked("shop")] },
        Error::SecondApproval { digest: text("sha256:12") },
        Error::SecondPlan,
        Error::PlanUnreadable { path: path(), source: failed() },
        Error::PlanFile {
            path: path(),
            error: SavedPlanError::NotAPlan { reason: text("expected value") },
        },
        Error::PlanAmongDefinitions { path: text("plan.json") },
        Error::DefinitionsAsPlan { path: text("terraform.tfvars") },
        Error::Refused(Vec::new()),
        Error::LeftOut(Box::new(LeftOutReasons {
            stale: ApplicationName::new("shop").into_iter().collect(),
            hazards: Some(GateError::Hazards {
                environment: environment(),
                hazards: [(Hazard::Adopts, 1)].into(),
            }),
            ..LeftOutReasons::default()
        })),
        Error::NotConfirmed,
        AuditError::Io { path: path(), source: failed() }.into(),
        AuditError::Locked { path: path() }.into(),
        AuditError::SameFile { path: path() }.into(),
        AuditError::NotALedger { path: path() }.into(),
        AuditError::OtherHeader { path: path() }.into(),
        AuditError::OtherColumns { path: path(), has: Columns::Run }.into(),
        SlotError::NoPassword(SecretId(text("goldenpath/dev/shop/postgres"))).into(),
        SlotError::NoVerifier(text("no device")).into(),
        failure_with(FailureCause::NotReplicated),
        failure_with(FailureCause::LockedOut),
        failure_with(FailureCause::ReadOnly),
        statement_failure(None, Vec::new()),
        statement_failure(None, vec![holder(), prepared()]),
        too_long(),
        statement_failure(
            Some(hint!["run ", Operation::Apply, " to set the current password"]),
            Vec::new(),
        ),
        NotRecorded {
            error: AuditError::Io { path: path(), source: failed() },
            changes: vec![text("grant SELECT on table a to b of application shop")],
            recorded_in: vec![path()],
            place: text("database shop"),
            committed: Committed { committed: 1, unknown: 0, total: 4 },
            continuation: Continuation::RunAgain,
        }
        .into(),
        NoSpaceForRecords {
            error: AuditError::Io { path: path(), source: failed() },
            place: text("database shop"),
            committed: Committed { committed: 0, unknown: 0, total: 4 },
            continuation: Continuation::SamePlan,
        }
        .into(),
        Error::NotConverged(ApplicationName::new(text("shop")).into_iter().collect()),
        Error::Stopped { reason: StopReason::Signal, committed: Some(Continuation::RunAgain) },
        Error::Stopped { reason: StopReason::Signal, committed: Some(Continuation::NewApproval) },
        Error::Stopped { reason: StopReason::Signal, committed: None },
        Error::Stopped { reason: StopReason::Deadline, committed: None },
        Error::Stopped { reason: StopReason::Request, committed: None },
    ]
}

fn holder() -> LockHolder {
    let holder = r#"{"pid": 123, "user": "etl", "application": "psql", "address": "10.0.0.1",
        "since": "2026-01-01T00:00:00Z"}"#;
    serde_json::from_str(holder).unwrap_or_else(|_| prepared())
}

fn locked(wait: Option<LockWait>) -> RunError {
    let reason = text("canceling statement due to lock timeout (55P03)");
    ObserveError::Locked { place: text("the server"), reason, wait }.into()
}

fn prepared() -> LockHolder {
    LockHolder {
        pid: 0,
        user: Some("shop_owner".to_owned()),
        application: None,
        address: None,
        since: None,
        prepared: Some("transfer-17".to_owned()),
    }
}

fn statement_failure(hint: Option<Hint>, holders: Vec<LockHolder>) -> Error {
    Error::Statement(Box::new(StatementFailure {
        message: text("permission denied (42501)"),
        step: hint.is_none().then(|| FailedStep {
            place: text("database shop"),
            step: text("grant SELECT on table a to b of application shop"),
            holders,
            is_too_long: false,
        }),
        committed: Committed { committed: 1, unknown: 0, total: 4 },
        hint,
        cause: None,
        continuation: Continuation::RunAgain,
    }))
}

fn failure_with(cause: FailureCause) -> Error {
    Error::Statement(Box::new(StatementFailure {
        message: text("command will not be replicated to the green instance (01000)"),
        step: None,
        committed: Committed { committed: 0, unknown: 0, total: 4 },
        hint: Some(cause.hint()),
        cause: Some(cause),
        continuation: Continuation::RunAgain,
    }))
}

fn too_long() -> Error {
    Error::Statement(Box::new(StatementFailure {
        message: text("no response of the server to a statement within 3610 s"),
        step: Some(FailedStep {
            place: text("database shop"),
            step: text("grant SELECT on table a to b of application shop"),
            holders: Vec::new(),
            is_too_long: true,
        }),
        committed: Committed { committed: 1, unknown: 2, total: 4 },
        hint: None,
        cause: None,
        continuation: Continuation::SamePlan,
    }))
}

fn secrets() -> Vec<SecretError> {
    let id = SecretId(text("goldenpath/dev/shop/postgres"));
    let reason = || text("some reason");
    vec![
        SecretError::Missing { id: id.clone(), region: Some(text("eu-west-2")), file: None },
        SecretError::Missing {
            id: id.clone(),
            region: None,
            file: Some(text("./goldenpath/dev/shop/postgres.json")),
        },
        SecretError::NoValue { id: id.clone() },
        SecretError::OtherRegion {
            id: id.clone(),
            region: text("eu-west-2"),
            requested: text("x"),
        },
        SecretError::Denied {
            id: id.clone(),
            principal: Some("arn:aws:sts::123456789012:assumed-role/ci/run".to_owned()),
        },
        SecretError::KeyDenied { id: id.clone() },
        SecretError::Throttled { id: id.clone() },
        SecretError::Deleted { id: id.clone() },
        SecretError::Binary { id: id.clone() },
        SecretError::NotJson { id: id.clone(), line: 1, column: 2 },
        SecretError::NotAnObject { id: id.clone() },
        SecretError::DuplicateKey { id: id.clone(), key: "password" },
        SecretError::NoPassword { id: id.clone() },
        SecretError::WrongType { id: id.clone(), key: "port", wanted: "a port number" },
        SecretError::TwoPorts { id: id.clone(), in_host: 1, port: 2 },
        SecretError::WrongEngine { id: id.clone() },
        SecretError::BadPassword { id: id.clone(), problem: PasswordProblem::Placeholder },
        SecretError::NotAPath { id: id.clone() },
        SecretError::NotCreated { id: id.clone(), reason: reason() },
        SecretError::NoStages { id: id.clone() },
        SecretError::NotAllowed { id: id.clone(), action: "secretsmanager:PutSecretValue" },
        SecretError::NotAllowed { id: id.clone(), action: "secretsmanager:CreateSecret" },
        SecretError::EncryptionDenied { id: id.clone() },
        SecretError::Unchangeable { id: id.clone(), reason: reason() },
        SecretError::InvalidResponse { id: id.clone(), region: text("eu-wst-2") },
        SecretError::Unreadable { id, reason: reason() },
    ]
}

fn objects() -> Vec<ObjectError> {
    let uri = "s3://platform/dev.tfvars".parse::<ObjectUri>();
    let errors = |uri: ObjectUri| {
        let (read, write) = ("NoSuchKey".to_owned(), "AccessDenied".to_owned());
        [
            ObjectError::Unreadable { uri: uri.clone(), reason: read },
            ObjectError::Unwritable { uri, reason: write },
        ]
    };
    uri.into_iter().flat_map(errors).collect()
}

fn sources() -> [SourceError; 14] {
    let reason = || text("some reason");
    let failing = |from| SourceError::Credentials { reason: reason(), from: Some(from) };
    [
        SourceError::NoRegion,
        SourceError::NoCredentials { sources: tried_sources() },
        SourceError::Credentials { reason: reason(), from: None },
        failing(CredentialSource::Variables),
        failing(CredentialSource::Profile(text("ci"))),
        failing(CredentialSource::WebIdentity),
        failing(CredentialSource::Container),
        failing(CredentialSource::Instance),
        SourceError::UnknownProfile { profile: text("nope") },
        SourceError::CredentialsExpired { code: text("ExpiredTokenException") },
        SourceError::CredentialsRejected { code: text("UnrecognizedClientException") },
        SourceError::AwsNotSupported,
        SourceError::Provider { reason: reason() },
        SourceError::Unreachable { region: text("eu-wst-2"), reason: reason() },
    ]
}

fn connections() -> Vec<ConnectError> {
    let (host, port) = (|| text("db.example.com"), 5432);
    let rejected = |code: Option<SqlState>, cause| ConnectError::Rejected {
        host: host(),
        port,
        database: DatabaseName::new_unchecked("postgres"),
        user: role(),
        reason: text("some reason"),
        code,
        cause,
        password_proved: false,
    };
    let mut errors = vec![
        ConnectError::TokenWithoutTls { host: host() },
        ConnectError::TokenToUnverifiedServer { host: host() },
        ConnectError::TlsDisabledForRemoteHost { host: host() },
        ConnectError::CleartextPasswordRequested { host: host(), port, user: role() },
        ConnectError::ServerReadOnly { host: host(), port },
        ConnectError::Pooled { host: host(), port, pooler: Pooler::WithoutKey },
        ConnectError::Pooled { host: host(), port, pooler: Pooler::Transactions },
        ConnectError::WeakAuthenticationRequested {
            host: host(),
            port,
            user: role(),
            request: WeakRequest::Md5,
        },
        ConnectError::WeakAuthenticationRequested {
            host: host(),
            port,
            user: role(),
            request: WeakRequest::Iterations(1),
        },
        ConnectError::WeakAuthenticationRequested {
            host: host(),
            port,
            user: role(),
            request: WeakRequest::Unusable,
        },
        rejected(Some(SqlState::INVALID_PASSWORD), None),
        rejected(Some(SqlState::TOO_MANY_CONNECTIONS), None),
        rejected(None, None),
    ];
    errors.extend(
        [
            RejectionCause::NoResponse,
            RejectionCause::PossiblyCertificateName,
            RejectionCause::CertificateRequired,
            RejectionCause::CertificateWithheld,
            RejectionCause::CertificateName,
            RejectionCause::TlsRequired,
            RejectionCause::NotPostgres,
            RejectionCause::RdsProxy,
        ]
        .map(|cause| rejected(None, Some(cause))),
    );
    errors.extend(tls_problems().into_iter().map(|problem| ConnectError::Tls {
        host: host(),
        port,
        problem,
    }));
    errors
}

fn tls_problems() -> Vec<TlsProblem> {
    let subject = || text("CN=db");
    let not_contained = |region: &str| TlsProblem::RegionNotContained {
        region: text(region),
        issuer: format!("CN=Amazon RDS {region} Root CA RSA2048 G1"),
        trusted: TrustedCas::Default,
    };
    let at = Timestamp::UNIX_EPOCH;
    vec![
        TlsProblem::UnknownIssuer { issuer: subject(), trusted: TrustedCas::Default },
        not_contained("mx-central-1"),
        not_contained("us-gov-west-1"),
        not_contained("cn-north-1"),
        TlsProblem::SelfSigned { subject: subject(), trusted: TrustedCas::System },
        TlsProblem::OtherKey { issuer: subject() },
        TlsProblem::ExpiredCa { subject: subject(), not_after: at },
        TlsProblem::OtherHost { host: text("db"), hosts: vec![text("other")] },
        TlsProblem::OtherHost { host: text("db"), hosts: Vec::new() },
        TlsProblem::Expired { subject: subject(), not_after: at },
        TlsProblem::NotYetValid { subject: subject(), not_before: at },
        TlsProblem::CaAsServer {
            subject: subject(),
            trusted: Some(TrustedCas::File("other.crt".into())),
        },
        TlsProblem::NotForServers { subject: subject() },
        TlsProblem::Unreadable,
        TlsProblem::KeyMismatch,
        TlsProblem::Unacceptable(text("some reason")),
        TlsProblem::NotOffered,
        TlsProblem::NotTls,
        TlsProblem::NoCommonVersion,
        TlsProblem::Rejected,
        TlsProblem::ClientCertificateRequired,
        TlsProblem::ClientCertificateRejected { reason: "it was revoked" },
        TlsProblem::Handshake(text("some reason")),
    ]
}

fn tried_sources() -> CredentialSources {
    CredentialSources {
        tried: vec![
            CredentialSource::Variables,
            CredentialSource::Profile(text("default")),
            CredentialSource::Instance,
        ],
        ..CredentialSources::default()
    }
}

fn run_examples() -> Vec<Error> {
    let id = SecretId(text("goldenpath/dev/rds/master"));
    let shape = serde_json::from_str::<bool>("1").err();
    let mut errors = vec![
        RunError::AdminSecretIncomplete { id: id.clone(), key: "host" },
        RunError::AdminSecretIncomplete { id, key: "username" },
        RunError::ManagedSecretWithoutHost {
            id: SecretId(text("rds!db-1a2b")),
            owner: None,
            reason: None,
        },
        RunError::ManagedSecretWithoutHost {
            id: SecretId(text("rds!db-1a2b")),
            owner: Some(SecretOwner::Instance(text("shop"))),
            reason: Some(text("AccessDenied")),
        },
        RunError::ManagedSecretWithoutHost {
            id: SecretId(text("rds!cluster-1a2b")),
            owner: Some(SecretOwner::Cluster(text("shop"))),
            reason: Some(text("AccessDenied")),
        },
        RunError::NoHost,
        RunError::NoRandomness(NoRandomness(text("no device"))),
        RunError::Lock(text("permission denied (42501)")),
        RunError::LockTimeout {
            server: text("db:5432"),
            timeout: Duration::from_secs(600),
            holder: Some(holder()),
        },
        RunError::NoSuchRole { role: role(), nearest: Some(text("shop_owner")) },
        RunError::NoSuchRole { role: RoleName::new_unchecked("pg_monitor"), nearest: None },
        ObserveError::Query { place: text("database shop"), reason: text("failed (57P01)") }.into(),
        locked(Some(LockWait { object: Some(text("table pg_authid")), holders: vec![holder()] })),
        locked(None),
    ];
    errors.extend(
        shape.map(|source| ObserveError::Shape { place: text("the server"), source }.into()),
    );
    errors.into_iter().map(Error::Run).collect()
}

fn gates() -> [GateError; 9] {
    let environment = || text("staging");
    let digest = || text("sha256:12");
    [
        GateError::ApprovalMissing { environment: environment(), digest: digest() },
        GateError::PlanApprovalMissing { environment: environment(), digest: digest() },
        GateError::Stale { approved: text("sha256:00"), digest: digest() },
        GateError::OtherEnvironment { policy: text("dev"), plan: environment() },
        GateError::InvalidApproval { value: text("yes") },
        GateError::NotEphemeral { environment: environment() },
        GateError::DropUnconfirmed { databases: vec![DatabaseName::new_unchecked("shop")] },
        GateError::ConfirmedNotDropped {
            database: DatabaseName::new_unchecked("shop"),
            unconfirmed: vec![DatabaseName::new_unchecked("shop_pr_7")],
            is_teardown: true,
        },
        GateError::Hazards {
            environment: environment(),
            hazards: [(Hazard::RevokesAccess, 3), (Hazard::ChangesOwner, 1)].into(),
        },
    ]
}

fn saved_plans() -> Vec<SavedPlanError> {
    let digest = || text("sha256:12");
    let differences = Differences {
        removed: vec![text("cluster: create role")],
        definitions_differ: true,
        secrets_differ: true,
        protections_differ: true,
        ..Differences::default()
    };
    vec![
        SavedPlanError::Refused,
        SavedPlanError::OtherFormat { found: 99 },
        SavedPlanError::Changed { digest: digest(), content: digest() },
        SavedPlanError::OtherEnvironment { saved: text("dev"), given: text("prod") },
        SavedPlanError::Edited,
        SavedPlanError::OtherVersion { found: text("0.0.9") },
        SavedPlanError::OtherServer { saved: text("a:5432"), given: text("b:5432") },
        SavedPlanError::Replaced { server: text("a:5432"), saved: text("71"), given: text("72") },
        SavedPlanError::Stale(Box::new(Stale {
            saved: digest(),
            current: digest(),
            differences,
            saved_by: Operation::Plan,
        })),
    ]
}

fn tls() -> Vec<TlsError> {
    let reason = || text("it contains no certificate");
    vec![
        TlsError::CaFile { path: path(), reason: reason() },
        TlsError::SystemCertificates { variable: "SSL_CERT_FILE", path: path(), reason: reason() },
        TlsError::NoSystemRoots,
        TlsError::ClientCertificate { path: path(), reason: reason() },
        TlsError::ClientKey { path: path(), reason: reason() },
        TlsError::OtherClientKey { certificate: path(), key: path() },
        TlsError::Carried,
        TlsError::SetUp(text("some reason")),
    ]
}

fn rotations() -> Vec<RotationError> {
    let Ok(name) = ApplicationName::new(text("shop")) else { return Vec::new() };
    let application = || name.clone();
    let secret = || SecretId(text("a/b"));
    vec![
        RotationError::UnknownApplication { name: text("shp"), nearest: Some(text("shop")) },
        RotationError::UnknownApplication { name: text("shp"), nearest: None },
        RotationError::NoVersions,
        RotationError::RoleUsesIam { application: application(), role: role() },
        RotationError::RoleRetired { application: application(), role: role() },
        RotationError::SeveralSecrets {
            application: application(),
            role: role(),
            secrets: vec![secret(), secret()],
        },
        RotationError::SharedSecret { application: application(), role: role(), secret: secret() },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error_code::ErrorCode;
    use crate::hint::Neutral;
    use crate::operations::RotationStepError;

    /// Codes of front ends, and those that [`WRONG`] cannot show together with the others.
    const WITHOUT_EXAMPLE: [ErrorCode; 15] = [
        ErrorCode::ConflictingRoleKeys,
        ErrorCode::ConflictingVariables,
        ErrorCode::DuplicateAccess,
        ErrorCode::DuplicateApplication,
        ErrorCode::DuplicateKey,
        ErrorCode::NamingPatternMismatch,
        ErrorCode::NotUtf8,
        ErrorCode::RoleInSeveralFiles,
        ErrorCode::TerraformIncompatible,
        ErrorCode::TwoOwners,
        ErrorCode::LedgerDamaged,
        ErrorCode::IncompleteAccessReport,
        ErrorCode::OutputIncomplete,
        ErrorCode::FileUnwritable,
        ErrorCode::InternalError,
    ];

    /// The errors of the rotation function, which are not among those of a session.
    fn rotation_step_errors() -> Vec<RotationStepError> {
        let (id, version) = (SecretId("goldenpath/dev/shop/postgres".to_owned()), "v2".to_owned());
        let role = RoleName::new_unchecked("shop_owner".to_owned());
        let other = RoleName::new_unchecked("shop_owner_clone".to_owned());
        let server = "db.example.com:5432".to_owned();
        vec![
            RotationStepError::NotEnabled { id: id.clone() },
            RotationStepError::NotPending { id: id.clone(), version: version.clone() },
            RotationStepError::Incomplete { id: id.clone(), key: "host" },
            RotationStepError::OtherRole {
                id: id.clone(),
                version,
                found: other.clone(),
                expected: role.clone(),
            },
            RotationStepError::OtherServer {
                id: id.clone(),
                other: SecretId("goldenpath/dev/rds/master".to_owned()),
                found: server.clone(),
                expected: "localhost:5432".to_owned(),
            },
            RotationStepError::NoPasswordAccepted { id: id.clone(), role: role.clone() },
            RotationStepError::NoClone { id: id.clone(), role: role.clone() },
            RotationStepError::Administrator { id, role: role.clone() },
            RotationStepError::NotAClone { role: other, of: role.clone() },
            RotationStepError::NoRole { role },
            RotationStepError::Locked { server },
        ]
    }

    #[test]
    fn each_code_has_an_example() {
        let mut seen: BTreeSet<ErrorCode> = WITHOUT_EXAMPLE.into();
        seen.extend(rotation_step_errors().iter().map(RotationStepError::code));
        for error in error_examples() {
            seen.insert(error.code());
            seen.extend(error.diagnostics().iter().map(|one| one.code));
        }
        let missing: Vec<ErrorCode> =
            ErrorCode::all().filter(|code| !seen.contains(code)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn facts_and_hints_have_one_form() {
        let of_rotation = rotation_step_errors();
        let of_rotation = of_rotation.iter().map(RotationStepError::diagnostic);
        let errors = error_examples();
        for diagnostic in errors.iter().flat_map(Error::diagnostics).chain(of_rotation) {
            let text = diagnostic.text(&Neutral);
            let is_flag = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
            assert!(!text.split(" --").skip(1).any(is_flag), "a flag is in: {text}");
            for line in diagnostic.hints.iter().map(|hint| hint.worded(&Neutral)) {
                assert!(!line.ends_with('.') && !line.contains('\n'), "{line}");
                let first = line.chars().next();
                assert!(first.is_some_and(|first| first.is_lowercase()), "{line}");
            }
            assert!(
                !diagnostic.fact.ends_with('.') && !diagnostic.fact.contains("; use"),
                "{text}"
            );
        }
    }
}
