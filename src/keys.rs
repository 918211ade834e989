//! The master key, and what is made from it and from randomness: chain keys, secrets for people and programs, and their hashes.
//!
//! The database holds no key and no secret in clear: of secrets it keeps hashes, of the master key a check value that only this key
//! gives. Refuses to know where randomness comes from: bytes are passed in.

pub mod pair;
mod sealed;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use openssl::{hash::MessageDigest, memcmp, pkey::PKey, rand::rand_bytes, sha::sha256, sign::Signer};
use zeroize::Zeroizing;

use self::sealed::NONCE;
use crate::{db::seal::ChainKey, domain::secret::Secret};

/// 256 bits from which every other key is derived.
#[derive(Debug, Clone)]
pub struct Keys {
    master: Secret<[u8; 32]>,
    /// Where the master key was changed: the key of the audit chain, which stays what it was.
    chain: Option<Secret<[u8; 32]>>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the master key file {path} cannot be read", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the master key file {path} cannot be made: make it with `openssl rand -hex 32` and mode 0600", path = path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the master key file {path} does not hold 32 bytes as hexadecimal or base64", path = path.display())]
    Form { path: PathBuf },
    #[error(
        "the database was written with a master key, and {path} is not there: put the key back, or name its place in master_key_file",
        path = path.display()
    )]
    Missing { path: PathBuf },
    #[error("{path} is not the master key that the database was written with: put the right one in its place", path = path.display())]
    Other { path: PathBuf },
}

const CHAIN: &str = "audit chain key";

impl Keys {
    #[must_use]
    pub fn new(master: [u8; 32]) -> Self {
        Self { master: Secret::new(master), chain: None }
    }

    /// Reads the key's file; `None` when there is no such file.
    pub fn find(path: &Path) -> Result<Option<Self>, KeyError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::Unreadable { path: path.to_owned(), source }),
        };
        let key = decode(text.trim()).ok_or_else(|| KeyError::Form { path: path.to_owned() })?;
        if fs::metadata(path).is_ok_and(|metadata| is_exposed(path, metadata.permissions().mode())) {
            tracing::warn!("the master key file can be read by others than its owner: chmod 600 it");
        }
        Ok(Some(Self::new(key)))
    }

    /// Writes a new key's file, for its owner alone; a file that is there already is never overwritten.
    pub fn create(path: &Path, master: [u8; 32]) -> Result<Self, KeyError> {
        let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unwritable)?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(master)));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
        Ok(Self::new(master))
    }

    /// What the database remembers of the key, to know it again.
    #[must_use]
    pub fn check(&self) -> String {
        hex(&hmac(self.master.expose(), &[b"rolegate/1 key check"]))
    }

    /// Whether the check value is this key's.
    #[must_use]
    pub fn gives(&self, check: &str) -> bool {
        same(&self.check(), check)
    }

    /// The key under which the rows of a chain are sealed.
    #[must_use]
    pub fn chain(&self) -> ChainKey {
        ChainKey::new(*self.chain_bytes().expose())
    }

    /// The secret of the session that a sign-in opens: whoever shows the browser's secret and the assertion again gets the same one.
    #[must_use]
    pub fn session_secret(&self, browser: &Secret<String>, assertion: &str) -> Secret<String> {
        let key = self.derive("session of a sign-in");
        secret(hmac(key.expose(), &[hash(browser.expose()).as_bytes(), assertion.as_bytes()]))
    }

    fn chain_bytes(&self) -> Secret<[u8; 32]> {
        self.chain.clone().unwrap_or_else(|| self.derive("audit chain"))
    }

    /// The chain key of another master key, sealed under this one: rows that were sealed before the change are verified with it.
    #[must_use]
    pub fn seal_chain_of(&self, other: &Self, nonce: [u8; NONCE]) -> String {
        self.seal(CHAIN, nonce, other.chain_bytes().expose())
    }

    /// Takes over the chain key that [`Keys::seal_chain_of`] sealed; `None` when this is not the master key that it was sealed under.
    #[must_use]
    pub fn with_chain(self, sealed: &str) -> Option<Self> {
        let chain: [u8; 32] = self.unseal_secret(CHAIN, sealed)?.expose().as_slice().try_into().ok()?;
        Some(Self { chain: Some(Secret::new(chain)), ..self })
    }

    /// A key for one purpose; purposes share nothing.
    fn derive(&self, purpose: &str) -> Secret<[u8; 32]> {
        Secret::new(hmac(self.master.expose(), &[b"rolegate/1 key for ", purpose.as_bytes()]))
    }
}

/// Where container engines hand in secrets. The mode there is the engine's, mostly one by which everybody in the container may read, and
/// says nothing of who reads the file on the host.
const HANDED_IN: &str = "/run/secrets";

/// Whether a file that is meant for its owner alone may be read by others on this machine.
fn is_exposed(path: &Path, mode: u32) -> bool {
    mode & 0o077 != 0 && !path.starts_with(HANDED_IN)
}

/// A SCIM token: `rg_scim_` and 256 random bits, which search tools for leaked secrets recognise by the prefix.
#[must_use]
pub fn scim_token(random: [u8; 32]) -> Secret<String> {
    Secret::new(format!("rg_scim_{}", URL_SAFE_NO_PAD.encode(random)))
}

/// An access token of an OAuth client: `rg_oauth_` and 256 random bits.
#[must_use]
pub fn access_token(random: [u8; 32]) -> Secret<String> {
    Secret::new(format!("{ACCESS_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// What access tokens begin with.
pub const ACCESS_TOKEN_PREFIX: &str = "rg_oauth_";

/// What a person's API tokens begin with.
pub const API_TOKEN_PREFIX: &str = "rg_api_";
/// What applications' tokens begin with.
pub const APP_TOKEN_PREFIX: &str = "rg_app_";

/// A person's API token: `rg_api_` and 256 random bits.
#[must_use]
pub fn api_token(random: [u8; 32]) -> Secret<String> {
    Secret::new(format!("{API_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// An application's token: `rg_app_` and 256 random bits.
#[must_use]
pub fn app_token(random: [u8; 32]) -> Secret<String> {
    Secret::new(format!("{APP_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// A secret of an OAuth client: `rg_secret_` and 256 random bits.
#[must_use]
pub fn client_secret(random: [u8; 32]) -> Secret<String> {
    Secret::new(format!("rg_secret_{}", URL_SAFE_NO_PAD.encode(random)))
}

/// A secret for a session's cookie or a link: 256 random bits.
#[must_use]
pub fn secret(random: [u8; 32]) -> Secret<String> {
    Secret::new(URL_SAFE_NO_PAD.encode(random))
}

/// What the database keeps of a secret: its SHA-256. A secret of 256 random bits needs no slow hash.
#[must_use]
pub fn hash(secret: &str) -> String {
    hash_bytes(secret.as_bytes())
}

/// SHA-256, as lower-case hexadecimal.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Compares two secrets or hashes in a time that tells nothing but their lengths.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && memcmp::eq(a.as_bytes(), b.as_bytes())
}

/// The machine's randomness. `App` is who to ask for it: there, tests can seed it.
#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
pub fn fill_random(bytes: &mut [u8]) {
    rand_bytes(bytes).expect("a machine without randomness must not go on");
}

/// The first bytes of a stream that a seed gives: the randomness of tests.
#[must_use]
pub fn stretch(seed: [u8; 32], counter: u64) -> [u8; 32] {
    hmac(&seed, &[&counter.to_be_bytes()])
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let work = || {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        for part in parts {
            signer.update(part)?;
        }
        signer.sign_to_vec()
    };
    let tag = work().expect("HMAC-SHA256 in memory fails only without memory");
    tag.try_into().expect("HMAC-SHA256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a text does not fail");
        text
    })
}

fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 && text.is_ascii() {
        let digits =
            Zeroizing::new((0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16)).collect::<Result<Vec<_>, _>>().ok()?);
        return digits.as_slice().try_into().ok();
    }
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('='))).ok()?;
    Zeroizing::new(bytes).as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_back() {
        let folder = std::env::temp_dir().join(format!("rolegate-keys-{}", std::process::id()));
        let path = folder.join("certs/master.key");
        assert!(Keys::find(&path).unwrap().is_none());
        let made = Keys::create(&path, [7; 32]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Keys::find(&path).unwrap().unwrap().gives(&made.check()));
        assert!(matches!(Keys::create(&path, [8; 32]), Err(KeyError::Unwritable { .. })), "never overwritten");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_key_that_others_can_read_is_exposed_unless_a_container_engine_handed_it_in() {
        let exposed = |path, mode| is_exposed(Path::new(path), mode);
        assert!(exposed("certs/master.key", 0o100_640) && exposed("certs/master.key", 0o100_604));
        assert!(!exposed("certs/master.key", 0o100_600) && !exposed("certs/master.key", 0o100_400));
        assert!(!exposed("/run/secrets/master_key", 0o100_444));
        assert!(exposed("/run/secrets-of-mine/master_key", 0o100_444));
    }

    #[test]
    fn hexadecimal_and_both_base64_alphabets_are_read() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap().wrapping_mul(251));
        for text in [hex(&key), hex(&key).to_uppercase(), STANDARD.encode(key), STANDARD_NO_PAD.encode(key), URL_SAFE_NO_PAD.encode(key)] {
            assert_eq!(decode(&text), Some(key), "{text}");
        }
        for wrong in ["", "hunter2", &"g".repeat(64), &hex(&key)[..62], &STANDARD.encode([0; 33])] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_key_gives_another_check_and_other_seals() {
        let (one, two) = (Keys::new([1; 32]), Keys::new([2; 32]));
        assert!(!one.gives(&two.check()));
        assert_ne!(one.derive("a").expose(), two.derive("a").expose());
        assert_ne!(one.derive("a").expose(), one.derive("b").expose());
        assert_eq!(format!("{one:?}"), "Keys { master: ***, chain: None }");
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Test case 6 hashes a longer key first; ours have 32 bytes always, so the published tag of a padded "Jefe" (case 2) serves.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = hex(&hmac(&key, &[b"what do ya want ", b"for nothing?"]));
        assert_eq!(tag, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn tokens_say_what_they_are_for() {
        let token = scim_token([255; 32]);
        assert_eq!(token.expose(), &format!("rg_scim_{}8", "_".repeat(42)));
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "abcd"));
    }
}
