//! Connections: over TLS that is verified, with the server's notices kept.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::TlsMode;
use crate::name::{DatabaseName, RoleName};
use crate::secrets::Password;
#[cfg(feature = "aws")]
use crate::secrets::token::{TokenError, TokenSource};

/// Why a connection could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The CA file cannot be read.
    #[error("the CA file {path} cannot be used: {reason}; give a PEM file with --ca-file")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody asks for a CA where nothing is verified.
    #[error(
        "a CA file is given and --tls {0} verifies nothing; use verify-full, or leave the file out"
    )]
    UnusedCaFile(&'static str),
    /// There is no token.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token is sent as it is.
    #[cfg(feature = "aws")]
    #[error("a token of IAM is sent as it is: it needs TLS; use verify-full")]
    TokenInTheClear,
    /// Without TLS only loopback is spoken to.
    #[error("{host} is not loopback: TLS cannot be disabled for it; use verify-full or require")]
    PlainToStranger {
        /// The host.
        host: String,
    },
    /// rustls would not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The server, or the way to it, said no.
    #[error("cannot connect to {host}:{port}, database {database}, as {user}: {reason}{}", remedy(.reason))]
    Refused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The database.
        database: DatabaseName,
        /// The role.
        user: RoleName,
        /// What was said.
        reason: String,
        /// The server's error code, where it was the server.
        code: Option<SqlState>,
    },
}

fn remedy(reason: &str) -> &'static str {
    if reason.contains("CaUsedAsEndEntity") {
        "; the server shows a CA's own certificate: give it one that a CA has issued to its host name"
    } else if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "; the server's certificate is not signed by a CA known here: give it with --ca-file"
    } else if reason.contains("NotValidForName") {
        "; the server's certificate is for another host: use the host name that it names"
    } else if reason.contains("server does not support TLS") {
        "; turn TLS on, or for a server on loopback use --tls disable"
    } else {
        ""
    }
}

/// How a connection is protected.
#[derive(Clone)]
pub struct Tls {
    mode: TlsMode,
    connector: MakeRustlsConnect,
}

impl Tls {
    /// Prepares TLS: the roots of the system, and those of a file.
    ///
    /// # Errors
    /// Where the file cannot be read or rustls refuses.
    pub fn new(mode: TlsMode, ca_file: Option<PathBuf>) -> Result<Self, ConnectError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let config = match mode {
            TlsMode::VerifyFull => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if let Some(path) = ca_file {
                    let unusable =
                        |reason: String| ConnectError::CaFile { path: path.clone(), reason };
                    let certificates = CertificateDer::pem_file_iter(&path)
                        .map_err(|error| unusable(error.to_string()))?
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(|error| unusable(error.to_string()))?;
                    if certificates.is_empty() {
                        return Err(unusable("it holds no certificate".to_owned()));
                    }
                    for certificate in certificates {
                        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
                    }
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            TlsMode::Require if ca_file.is_some() => {
                return Err(ConnectError::UnusedCaFile("require"));
            }
            TlsMode::Require | TlsMode::Disable => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
        };
        Ok(Self { mode, connector: MakeRustlsConnect::new(config) })
    }
}

/// Encrypts without asking who is there: what `require` means.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How somebody proves to a server who it is.
#[derive(Clone)]
pub enum Proof {
    /// With a password.
    Password(Password),
    /// With a token of IAM, made anew for each connection.
    #[cfg(feature = "aws")]
    Token(TokenSource),
}

/// A server and who to be there.
#[derive(Clone)]
pub struct Target {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role to be.
    pub user: RoleName,
    /// How it proves that.
    pub proof: Proof,
    /// How the connection is protected.
    pub tls: Tls,
}

/// A connection, with the notices that the server sent over it.
pub struct Session {
    /// The client.
    pub client: Client,
    notices: Arc<Mutex<Vec<DbError>>>,
}

impl Target {
    /// The same server as somebody else.
    #[must_use]
    pub fn as_role(&self, user: RoleName, password: Password) -> Self {
        Self { user, proof: Proof::Password(password), ..self.clone() }
    }

    /// Connects to a database.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, database: &DatabaseName) -> Result<Session, ConnectError> {
        let password = match &self.proof {
            Proof::Password(password) => password.clone(),
            #[cfg(feature = "aws")]
            Proof::Token(source) => {
                if self.tls.mode == TlsMode::Disable {
                    return Err(ConnectError::TokenInTheClear);
                }
                source.token(&self.host, self.port, self.user.as_str()).await?
            }
        };
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(self.user.as_str())
            .password(password.expose())
            .dbname(database.as_str())
            .application_name("rdsprov")
            .connect_timeout(Duration::from_secs(15));
        let refused = |error: tokio_postgres::Error| ConnectError::Refused {
            host: self.host.clone(),
            port: self.port,
            database: database.clone(),
            user: self.user.clone(),
            reason: said(&error),
            code: error.code().cloned(),
        };
        let notices = Arc::default();
        let client = if self.tls.mode == TlsMode::Disable {
            let loopback = self.host == "localhost"
                || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if !loopback {
                return Err(ConnectError::PlainToStranger { host: self.host.clone() });
            }
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
            keep_notices(connection, &notices);
            client
        } else {
            config.ssl_mode(SslMode::Require);
            let (client, connection) =
                config.connect(self.tls.connector.clone()).await.map_err(refused)?;
            keep_notices(connection, &notices);
            client
        };
        Ok(Session { client, notices })
    }

    /// Asks the server to give up the statement that a session is at.
    pub(super) async fn cancel(&self, session: &Session) {
        let token = session.client.cancel_token();
        // A statement that ended in the meantime needs no cancelling.
        let _ = if self.tls.mode == TlsMode::Disable {
            token.cancel_query(NoTls).await
        } else {
            token.cancel_query(self.tls.connector.clone()).await
        };
    }
}

/// How long a statement may wait for a lock: whoever comes after it waits behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

impl Session {
    /// From now on no statement waits long for a lock.
    pub(super) async fn wait_briefly(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(LOCK_TIMEOUT).await
    }

    /// The notices since the last call; drivers hide them, and a grant that granted nothing is only a
    /// warning to PostgreSQL.
    #[must_use]
    pub fn take_notices(&self) -> Vec<DbError> {
        self.notices.lock().map(|mut notices| std::mem::take(&mut *notices)).unwrap_or_default()
    }
}

/// Drives a connection until it ends.
fn keep_notices<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    notices: &Arc<Mutex<Vec<DbError>>>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let notices = notices.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message
                && let Ok(mut notices) = notices.lock()
            {
                notices.push(notice);
            }
        }
    });
}

/// What a server said, with its code; of other errors, the causes in one line.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        return format!("{}{detail} ({})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
