//! Names of domains that people can own: at least two labels, in ASCII form.

use std::fmt;

use url::Host;

/// Such as `acme.example`: lower case, international names in their ASCII form (RFC 5890), no dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainNameError {
    #[error("{0:?} is an address, not a domain: a name such as acme.example was expected")]
    Address(String),
    #[error("{0:?} has one label only, which nobody outside can own: a name such as acme.example was expected")]
    SingleLabel(String),
    #[error("{0:?} is not a domain: a name such as acme.example was expected, without scheme, port or wildcard")]
    NotADomain(String),
}

impl DomainName {
    /// # Errors
    /// When the text is no domain, an IP address or a single label.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        let shown = || text.chars().take(80).collect();
        let bare = text.trim().strip_suffix('.').unwrap_or(text.trim());
        let Ok(host) = Host::parse(bare) else { return Err(DomainNameError::NotADomain(shown())) };
        let Host::Domain(name) = host else { return Err(DomainNameError::Address(shown())) };
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let label =
            |label: &str| (1..=63).contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-');
        if name.len() > 235 || !name.split('.').all(label) {
            // The name of its challenge has to fit into 253 characters too.
            return Err(DomainNameError::NotADomain(shown()));
        }
        if !name.contains('.') {
            return Err(DomainNameError::SingleLabel(shown()));
        }
        Ok(Self(name))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the record stands that shows whose the domain is.
    #[must_use]
    pub fn challenge_name(&self) -> String {
        format!("_rolegate-challenge.{}", self.0)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_kept_in_one_form() {
        for (text, expected) in [
            ("acme.example", "acme.example"),
            (" ACME.Example. ", "acme.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("a.b.c.example", "a.b.c.example"),
        ] {
            assert_eq!(DomainName::parse(text).unwrap().as_str(), expected);
        }
        assert_eq!(DomainName::parse("acme.example").unwrap().challenge_name(), "_rolegate-challenge.acme.example");
    }

    #[test]
    fn addresses_single_labels_and_what_is_no_domain_are_refused() {
        for address in ["192.0.2.1", "[2001:db8::1]", "127.1"] {
            assert!(matches!(DomainName::parse(address), Err(DomainNameError::Address(_))), "{address}");
        }
        assert!(matches!(DomainName::parse("localhost"), Err(DomainNameError::SingleLabel(_))));
        let long = format!("{}.example", ["a"; 130].join("."));
        for wrong in [
            "",
            ".",
            "a..b",
            "-a.example",
            "a-.example",
            "*.acme.example",
            "https://acme.example",
            "acme.example:443",
            "a_b.example",
            "a b.example",
            &long,
        ] {
            assert!(matches!(DomainName::parse(wrong), Err(DomainNameError::NotADomain(_))), "{wrong}");
        }
    }
}
