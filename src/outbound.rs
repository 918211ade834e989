//! Requests that the gateway itself makes to addresses which people enter: within bounds, and not into the network it stands in.
//!
//! An address is judged where it is used: the name is resolved here, what it resolves to is judged, and only that is connected to; the
//! same again at every redirect.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Url};

use crate::config::Network;

const TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 5;

/// Networks that nobody outside has business with, and what carries an address of one inside.
const INNER: [&str; 24] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/9",
    "ff00::/8",
];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("{0} is not https: only an encrypted address is fetched")]
    NotHttps(String),
    #[error("{0} lies in a private, loopback or link-local network: list its network under outbound_networks if it is meant")]
    Inner(String),
    #[error("{0} carries a user name or a password: an address without them was expected")]
    Credentials(String),
    #[error("{host} could not be fetched: {why}")]
    Failed { host: String, why: String },
    #[error("{host} answered {status}")]
    Status { host: String, status: u16 },
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong { host: String, limit: usize },
}

/// Which inner networks may be reached all the same.
#[derive(Debug, Clone)]
struct Judge(Arc<[Network]>);

impl Judge {
    fn may_reach(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address)) || !is_inner(address)
    }

    /// What can be said of an address before it is resolved. Plain http goes to loopback alone, where that is allowed.
    fn check(&self, url: &Url) -> Result<(), OutboundError> {
        let shown = || url.host_str().unwrap_or_default().to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Credentials(shown()));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(OutboundError::NotHttps(url.scheme().to_owned())),
        };
        if literal.is_some_and(|address| !self.may_reach(address)) {
            return Err(OutboundError::Inner(shown()));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if literal.is_some_and(|address| address.to_canonical().is_loopback()) => Ok(()),
            _ => Err(OutboundError::NotHttps(shown())),
        }
    }
}

fn is_inner(address: IpAddr) -> bool {
    // An IPv4 address in IPv6 dress counts as what it is.
    let address = address.to_canonical();
    INNER.iter().any(|text| text.parse::<Network>().expect("a constant network").contains(address)) || address == Ipv4Addr::BROADCAST
}

impl Resolve for Judge {
    fn resolve(&self, name: Name) -> Resolving {
        let judge = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) = found.partition(|address| judge.may_reach(address.ip()));
            // A name that leads to both is one that somebody plays with.
            if allowed.is_empty() || !refused.is_empty() {
                return Err(OutboundError::Inner(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: reqwest::Client,
    judge: Judge,
}

impl Outbound {
    /// `allowed`: inner networks that may be reached.
    ///
    /// # Panics
    /// When the TLS library of the machine cannot be used at all.
    #[must_use]
    pub fn new(allowed: &[Network]) -> Self {
        let judge = Judge(allowed.into());
        let at_redirects = judge.clone();
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("it redirects without end");
            }
            match at_redirects.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(error) => attempt.error(error),
            }
        });
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(policy)
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(judge.clone()))
            .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { client: client.expect("a client without certificates of its own is always made"), judge }
    }

    /// The body of what is there, at most `limit` bytes of it.
    pub async fn get(&self, url: &Url, limit: usize) -> Result<Vec<u8>, OutboundError> {
        self.judge.check(url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |error: reqwest::Error| OutboundError::Failed { host: host.clone(), why: words(&error.without_url()) };
        let mut response = self.client.get(url.clone()).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(OutboundError::Status { host, status: response.status().as_u16() });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > limit {
                return Err(OutboundError::TooLong { host, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Whether the address would be fetched at all, as far as that can be said without resolving its name.
    pub fn check(&self, url: &Url) -> Result<(), OutboundError> {
        self.judge.check(url)
    }
}

/// The innermost cause: what stands around it says only that a request failed.
fn words(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_known_in_every_dress() {
        for inner in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "fec0::1",
        ] {
            assert!(is_inner(inner.parse().unwrap()), "{inner}");
        }
        for outer in ["93.184.215.14", "8.8.8.8", "172.32.0.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"] {
            assert!(!is_inner(outer.parse().unwrap()), "{outer}");
        }
    }

    #[test]
    fn an_address_is_judged_before_anybody_is_asked() {
        let outbound = Outbound::new(&[]);
        let check = |text: &str| outbound.check(&Url::parse(text).unwrap());
        assert_eq!(check("https://idp.example/metadata"), Ok(()));
        for (text, inner) in [
            ("http://idp.example/", false),
            ("ftp://idp.example/", false),
            ("file:///etc/passwd", false),
            ("http://127.0.0.1/", true),
            ("https://127.1/", true),
            ("https://2130706433/", true),
            ("https://0x7f.1/", true),
            ("https://[::ffff:169.254.169.254]/latest", true),
        ] {
            assert_eq!(matches!(check(text), Err(OutboundError::Inner(_))), inner, "{text}: {:?}", check(text));
            assert!(check(text).is_err(), "{text}");
        }
        assert!(matches!(check("https://user:secret@idp.example/"), Err(OutboundError::Credentials(_))));
        let open = Outbound::new(&["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(open.check(&Url::parse("http://127.0.0.1:8080/").unwrap()), Ok(()));
        assert!(open.check(&Url::parse("http://localhost/").unwrap()).is_err(), "a name may resolve to anything");
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let refused = Outbound::new(&[]).get(&Url::parse("https://localhost:1/").unwrap(), 10).await.unwrap_err();
        assert!(refused.to_string().contains("outbound_networks"), "{refused}");
    }
}
