//! Identifiers: UUIDs, each kind a type of its own, so that an account is never passed where a role is meant.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// An identifier of one kind of thing. New ones are version 7 (RFC 9562), so that they sort by their making.
pub struct Id<Kind> {
    value: Uuid,
    kind: PhantomData<fn() -> Kind>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identifier: a UUID such as 0190f2b4-6c1e-7b3a-9d55-2f1d3c4b5a69 was expected")]
pub struct IdError(String);

impl<Kind> Id<Kind> {
    #[must_use]
    pub fn new(value: Uuid) -> Self {
        Self { value, kind: PhantomData }
    }

    /// Reads the hyphenated lower-case form, the only one the product writes.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let refused = || IdError(text.chars().take(64).collect());
        let value = Uuid::parse_str(text).map_err(|_| refused())?;
        // Every row that is read passes here: nothing is allocated.
        if value.hyphenated().encode_lower(&mut [0; 36]) == text { Ok(Self::new(value)) } else { Err(refused()) }
    }
}

impl<Kind> Clone for Id<Kind> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Kind> Copy for Id<Kind> {}
impl<Kind> PartialEq for Id<Kind> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl<Kind> Eq for Id<Kind> {}
impl<Kind> PartialOrd for Id<Kind> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<Kind> Ord for Id<Kind> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}
impl<Kind> hash::Hash for Id<Kind> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}
impl<Kind> fmt::Display for Id<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.hyphenated().fmt(f)
    }
}
impl<Kind> fmt::Debug for Id<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<Kind> Serialize for Id<Kind> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, Kind> Deserialize<'de> for Id<Kind> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The kinds; they are never made, only named.
pub mod kind {
    pub enum Tenant {}
    pub enum Organization {}
    pub enum Scope {}
    pub enum Role {}
    pub enum Account {}
    pub enum Group {}
    pub enum Connection {}
    pub enum Rule {}
    pub enum Assignment {}
    pub enum Certificate {}
    pub enum SpKey {}
    pub enum Token {}
    pub enum OauthClient {}
    pub enum OauthSecret {}
    pub enum ApiToken {}
    pub enum AppToken {}
    pub enum Session {}
    pub enum Event {}
}

pub type TenantId = Id<kind::Tenant>;
pub type OrganizationId = Id<kind::Organization>;
/// A context or resource below an organization.
pub type ScopeId = Id<kind::Scope>;
pub type RoleId = Id<kind::Role>;
pub type AccountId = Id<kind::Account>;
pub type GroupId = Id<kind::Group>;
pub type ConnectionId = Id<kind::Connection>;
pub type RuleId = Id<kind::Rule>;
pub type AssignmentId = Id<kind::Assignment>;
pub type CertificateId = Id<kind::Certificate>;
/// A key pair of ours.
pub type SpKeyId = Id<kind::SpKey>;
pub type TokenId = Id<kind::Token>;
/// The `client_id` of an OAuth client.
pub type OauthClientId = Id<kind::OauthClient>;
pub type OauthSecretId = Id<kind::OauthSecret>;
/// Of a token that a person made from a session.
pub type ApiTokenId = Id<kind::ApiToken>;
/// Of a token that an application reads with.
pub type AppTokenId = Id<kind::AppToken>;
pub type SessionId = Id<kind::Session>;
/// An audit or outbox row.
pub type EventId = Id<kind::Event>;

/// Where new identifiers come from: seeded with randomness once for a request, it needs no clock and no randomness after that.
/// Identifiers of one source sort in the order of their making.
#[derive(Debug, Clone)]
pub struct IdSource {
    at_ms: u64,
    counter: u16,
    state: u128,
}

impl IdSource {
    /// `seed` must be random: identifiers of two sources are told apart by nothing else.
    #[must_use]
    pub fn new(now: super::time::Timestamp, seed: [u8; 16]) -> Self {
        Self { at_ms: u64::try_from(now.millis()).unwrap_or(0), counter: 0, state: u128::from_le_bytes(seed) }
    }

    /// RFC 9562 version 7: the time, a 12-bit counter (method 1 of its section 6.2), then bits of the seed stepped on.
    pub fn make<Kind>(&mut self) -> Id<Kind> {
        if self.counter == 1 << 12 {
            self.counter = 0;
            self.at_ms += 1;
        }
        // A linear congruential step with a full period; its high half is what the identifier takes.
        self.state =
            self.state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d_4c95_7f2d_1405_7b7e_f767_814f);
        let random = (self.state >> 64) as u64;
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&self.counter.to_be_bytes());
        bytes[2..].copy_from_slice(&random.to_be_bytes());
        self.counter += 1;
        Id::new(uuid::Builder::from_unix_timestamp_millis(self.at_ms, &bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_version_7_distinct_and_in_order() {
        let mut source = IdSource::new(crate::domain::time::Timestamp::from_millis(1_772_500_000_000), [7; 16]);
        let ids: Vec<AccountId> = (0..10_000).map(|_| source.make()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(ids[0].value.get_version_num(), 7);
        let mut other = IdSource::new(crate::domain::time::Timestamp::from_millis(1_772_500_000_000), [8; 16]);
        assert_ne!(other.make::<kind::Account>(), ids[0]);
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_form() {
        let text = "0190f2b4-6c1e-7b3a-9d55-2f1d3c4b5a69";
        let id = AccountId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert!(AccountId::parse(&text.to_uppercase()).is_err());
        assert!(AccountId::parse(&text.replace('-', "")).is_err());
        assert!(AccountId::parse("7").is_err());
    }
}
