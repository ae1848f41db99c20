//! Sets a password without its verifier in the text of a statement that other sessions or the log can
//! show.
//!
//! PostgreSQL accepts a verifier only as a literal in `CREATE ROLE` or `ALTER ROLE`. As a statement of
//! a client, it would be in `pg_stat_activity`, in `pg_stat_statements` and, with `log_statement`, in
//! the log; a parameter of a statement is in the log, too. So the server chooses a random key, which
//! only its result contains: results are never logged. The program sends the verifier encrypted with
//! this key, in a `DO` block that decrypts it and executes the statement. Each password of a
//! transaction has a key of its own.
//!
//! An error of the inner statement would have its text as context. So the block raises it again, with
//! the same SQLSTATE, message, detail and hint. With `log_lock_waits`, a statement that waits for a lock
//! has its text in the log. So the same statement is first executed with `PASSWORD NULL`: it takes all
//! locks, and the inner statement does not wait.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::name::{RoleName, literal};

/// The parameter in which the transaction keeps a key until its password is set, without the number of
/// the key.
const KEY: &str = "rdsprov.key_";

/// A key that the server has chosen, which hides one verifier.
#[derive(Clone)]
pub struct HidingKey {
    /// The number of the key in its transaction, from 1.
    pub number: usize,
    /// What the server has chosen.
    pub value: String,
}

/// Returns the query that chooses a number of keys and returns one a row, in a transaction.
#[cfg(feature = "postgres")]
pub fn choose_keys(number: usize) -> String {
    format!(
        "SELECT pg_catalog.set_config('{KEY}' || n, \
         pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text, true) \
         FROM pg_catalog.generate_series(1, {number}) n ORDER BY n"
    )
}

/// The number of bytes that one SHA-256 value encrypts.
const BLOCK: usize = 32;

/// Returns the statement that sets a password, up to its literal.
pub(super) fn alter_password(role: &RoleName) -> String {
    format!("ALTER ROLE {} PASSWORD", role.quoted())
}

/// Returns the statements that execute `before`, followed by `NULL`, and then set the verifier. `before`
/// creates or alters the role. `key` was chosen in the same transaction.
pub(super) fn set_password(
    before: &str,
    role: &RoleName,
    verifier: &str,
    key: &HidingKey,
) -> String {
    let encrypted = encrypt(verifier.as_bytes(), &key.value).into_iter().fold(
        String::new(),
        |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        },
    );
    // `pg_stat_statements.track = all` also collects inner statements. A superuser can change it.
    let body = format!(
        "DECLARE key text := current_setting({name}); verifier bytea := decode('{encrypted}', 'hex'); block bytea; \
         track text := current_setting('pg_stat_statements.track', true); \
         state text; message text; detail text; hint text; violated text; \
         BEGIN FOR n IN 0 .. length(verifier) - 1 LOOP \
         IF n % {BLOCK} = 0 THEN block := sha256(convert_to(key || ':' || n / {BLOCK}, 'UTF8')); END IF; \
         verifier := set_byte(verifier, n, get_byte(verifier, n) # get_byte(block, n % {BLOCK})); END LOOP; \
         PERFORM set_config({name}, '', true); \
         IF track IS NOT NULL THEN BEGIN PERFORM set_config('pg_stat_statements.track', 'none', true); \
         EXCEPTION WHEN insufficient_privilege THEN track := NULL; END; END IF; \
         BEGIN EXECUTE {alter} || quote_literal(convert_from(verifier, 'UTF8')); \
         EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN \
         GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, \
         hint = PG_EXCEPTION_HINT, violated = CONSTRAINT_NAME; END; \
         IF track IS NOT NULL THEN PERFORM set_config('pg_stat_statements.track', track, true); END IF; \
         IF state IS NULL THEN NULL; \
         ELSIF detail = '' AND hint = '' THEN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, CONSTRAINT = violated; \
         ELSIF hint = '' THEN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, CONSTRAINT = violated; \
         ELSIF detail = '' THEN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, HINT = hint, CONSTRAINT = violated; \
         ELSE RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint, CONSTRAINT = violated; \
         END IF; END",
        name = literal(&format!("{KEY}{}", key.number)),
        alter = literal(&format!("{} ", alter_password(role))),
    );
    format!("{before} NULL; DO {}", literal(&body))
}

/// Encrypts bytes with the SHA-256 values of the key and the numbers of the blocks. A key is used once.
fn encrypt(bytes: &[u8], key: &str) -> Vec<u8> {
    let blocks = bytes.chunks(BLOCK).enumerate();
    blocks
        .flat_map(|(number, chunk)| {
            let block = Sha256::digest(format!("{key}:{number}").as_bytes());
            chunk.iter().zip(block).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_with_the_same_key_decrypts() {
        let verifier = b"SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2E=$c3RvcmVk:c2VydmVy".as_slice();
        let encrypted = encrypt(verifier, "key");
        assert_ne!(encrypted, verifier);
        assert_eq!(encrypt(&encrypted, "key"), verifier);
        assert_ne!(encrypt(&encrypted, "other"), verifier);
    }

    #[test]
    fn statement_contains_no_verifier() {
        let role = RoleName::new_unchecked("it's");
        let create = "CREATE ROLE \"it's\" LOGIN PASSWORD";
        let key = HidingKey { number: 7, value: "key".to_owned() };
        let text = set_password(create, &role, "SCRAM-SHA-256$x", &key);
        assert!(text.starts_with("CREATE ROLE \"it's\" LOGIN PASSWORD NULL; DO "), "{text}");
        assert!(text.contains("ALTER ROLE \"it''''s\" PASSWORD "), "{text}");
        assert!(text.contains("current_setting(''rdsprov.key_7'')"), "{text}");
        assert!(!text.contains("SCRAM"), "{text}");
    }
}
