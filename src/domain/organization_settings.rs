//! What an organization says for itself and for all below it: language, where the console may be used from, second factor, lifetimes.
//!
//! A child can narrow what its parent says and never widen it: every list of networks on the way to the root must admit an address,
//! the shortest lifetime counts, and a second factor that is required above is required below.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::network::Network;

/// Networks in one list.
pub const MOST_NETWORKS: usize = 200;
/// Seconds that a session may be set to last.
pub const SESSION_TTL_SECS: std::ops::RangeInclusive<i64> = 300..=30 * 86_400;
/// Seconds that an API token may be set to last.
pub const API_TOKEN_TTL_SECS: std::ops::RangeInclusive<i64> = 60..=86_400;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrganizationSettings {
    pub language: Option<Language>,
    /// Where the console and the API are used from by those at home here; from anywhere when it is empty.
    pub console_networks: Vec<Network>,
    /// Of those who sign in without an identity provider; what an identity provider asks is its own matter.
    pub email_mfa_required: bool,
    pub session_ttl_secs: Option<i64>,
    pub api_token_ttl_secs: Option<i64>,
}

/// What holds for the people of one organization, of all that is said on the way to the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InForce<'s> {
    pub console_networks: Vec<&'s [Network]>,
    pub email_mfa_required: bool,
    pub session_ttl_secs: Option<i64>,
    pub api_token_ttl_secs: Option<i64>,
}

impl<'s> InForce<'s> {
    pub fn of(line: impl Iterator<Item = &'s OrganizationSettings>) -> Self {
        let shorter = |one: Option<i64>, other: Option<i64>| one.into_iter().chain(other).min();
        line.fold(Self::default(), |mut all, said| {
            if !said.console_networks.is_empty() {
                all.console_networks.push(&said.console_networks);
            }
            all.email_mfa_required |= said.email_mfa_required;
            all.session_ttl_secs = shorter(all.session_ttl_secs, said.session_ttl_secs);
            all.api_token_ttl_secs = shorter(all.api_token_ttl_secs, said.api_token_ttl_secs);
            all
        })
    }

    /// Whether the console and the API may be used from there; an address that is not known is in no network.
    #[must_use]
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        self.console_networks.iter().all(|list| address.is_some_and(|address| list.iter().any(|network| network.contains(address))))
    }
}

/// A language tag (RFC 5646), such as `de` or `pt-BR`: its form is checked, not whether somebody speaks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a language tag: one such as en, de or pt-BR was expected")]
pub struct LanguageError(String);

impl TryFrom<String> for Language {
    type Error = LanguageError;

    fn try_from(text: String) -> Result<Self, LanguageError> {
        let mut parts = text.split('-');
        let first = parts.next().is_some_and(|word| (2..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic()));
        let sound = |word: &str| (1..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if first && text.len() <= 35 && parts.all(sound) { Ok(Self(text)) } else { Err(LanguageError(text.chars().take(64).collect())) }
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> OrganizationSettings {
        OrganizationSettings { console_networks: list.iter().map(|text| text.parse().unwrap()).collect(), ..Default::default() }
    }

    #[test]
    fn a_child_narrows_what_its_parent_says_and_never_widens_it() {
        let parent = OrganizationSettings {
            email_mfa_required: true,
            session_ttl_secs: Some(3600),
            api_token_ttl_secs: Some(600),
            ..networks(&["10.0.0.0/8", "2001:db8::/32"])
        };
        let child = OrganizationSettings {
            session_ttl_secs: Some(7200),
            api_token_ttl_secs: Some(60),
            ..networks(&["10.1.0.0/16", "192.0.2.0/24"])
        };
        let said = [child, OrganizationSettings::default(), parent];
        let rules = InForce::of(said.iter());
        let admits = |address: &str| rules.admits(Some(address.parse().unwrap()));
        assert!(admits("10.1.2.3") && admits("::ffff:10.1.2.3"));
        assert!(!admits("10.2.2.3"), "the child's list leaves it out");
        assert!(!admits("192.0.2.1") && !admits("2001:db8::1"), "one list of two");
        assert!(!rules.admits(None) && InForce::default().admits(None));
        assert_eq!((rules.email_mfa_required, rules.session_ttl_secs, rules.api_token_ttl_secs), (true, Some(3600), Some(60)));
    }

    #[test]
    fn a_language_tag_has_its_form() {
        for sound in ["en", "pt-BR", "zh-Hant-TW"] {
            assert!(Language::try_from(sound.to_owned()).is_ok(), "{sound}");
        }
        for wrong in ["", "e", "english!", "en_GB", "en-", "-en", "12"] {
            assert!(Language::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_are_stored_as_json_and_read_back() {
        let settings = OrganizationSettings { language: Some(Language("de".into())), ..networks(&["10.0.0.0/8", "::1"]) };
        let text = serde_json::to_string(&settings).unwrap();
        assert!(text.contains("\"10.0.0.0/8\"") && text.contains("\"::1/128\""), "{text}");
        assert_eq!(serde_json::from_str::<OrganizationSettings>(&text).unwrap(), settings);
    }
}
