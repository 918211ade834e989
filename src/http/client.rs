//! Where a client is: the address of the socket, unless that is a trusted proxy's. Then the last address in `X-Forwarded-For` counts
//! that is no trusted proxy's: what stands before it, the client may have written itself.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, HeaderName, request::Parts},
};

use super::error::{Kind, Problem};
use crate::{
    app::App,
    config::Network,
    domain::{id::OrganizationId, model::RoleModel},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address as an extractor.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub Option<IpAddr>);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(address(parts, &app.config.trusted_proxies)))
    }
}

/// Somebody whom the gateway does not know, as far as the network tells them apart: an IPv4 address, or the first half of an IPv6 address,
/// which is one subscriber's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stranger(IpAddr);

impl Stranger {
    /// `None` for a request that came over no socket.
    #[must_use]
    pub fn of(parts: &Parts, trusted: &[Network]) -> Option<Self> {
        nearest(&parts.extensions, &parts.headers, trusted).map(Self::at)
    }

    /// The address, or the first half of it.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }

    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// `None` where the server does not know whom it speaks to, or a trusted proxy says something unreadable.
#[must_use]
pub fn address(parts: &Parts, trusted: &[Network]) -> Option<IpAddr> {
    let ConnectInfo(socket) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    behind(socket.ip().to_canonical(), &parts.headers, trusted)
}

/// As [`address`]; of a client behind a proxy that says something unreadable, the address of the proxy.
#[must_use]
pub fn nearest(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let ConnectInfo(socket) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let socket = socket.ip().to_canonical();
    Some(behind(socket, headers, trusted).unwrap_or(socket))
}

fn behind(socket: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(socket) {
        return Some(socket);
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    let mut nearest = socket;
    for hop in lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|hop| !hop.is_empty()).rev() {
        nearest = read(hop)?;
        if !is_trusted(nearest) {
            return Some(nearest);
        }
    }
    // Nobody but proxies: the farthest of them asks for itself.
    Some(nearest)
}

/// Some proxies add the port: `192.0.2.1:5432`, `[2001:db8::1]:443`.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Whether people at home there may use the console and the API from where they are.
///
/// # Errors
/// 403 `network_not_allowed`.
pub fn admit(model: &RoleModel, home: Option<OrganizationId>, address: Option<IpAddr>) -> Result<(), Problem> {
    if model.organizations.in_force(home).admits(address) {
        return Ok(());
    }
    let shown = address.map_or_else(|| "Your address is not known".to_owned(), |address| format!("Your address {address} is in none"));
    Err(Problem::new(
        Kind::Forbidden,
        "network_not_allowed",
        format!("{shown} of the networks from which your organization lets the console and the API be used: ask an owner."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(socket: &str, forwarded: &[&str], trusted: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        behind(socket.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_stranger_is_an_address_or_the_half_of_one() {
        let at = |text: &str| Stranger::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::7"), at("2001:db8:1:2:ffff::1"));
        assert_ne!(at("2001:db8:1:2::7"), at("2001:db8:1:3::7"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.2"), at("192.0.2.1"));
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"], &[]).unwrap(), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"], &["10.0.0.0/8"]).unwrap(), "198.51.100.7");
        assert_eq!(
            seen("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], &["10.0.0.0/8"]).unwrap(),
            "198.51.100.7",
            "the first is hearsay"
        );
        assert_eq!(seen("10.0.0.1", &["203.0.113.9", "198.51.100.7"], &["10.0.0.0/8"]).unwrap(), "198.51.100.7", "lines are one list");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::7]:443"], &["10.0.0.0/8"]).unwrap(), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", &["::ffff:198.51.100.7"], &["10.0.0.0/8"]).unwrap(), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7:80, 10.0.0.3"], &["10.0.0.0/8"]).unwrap(), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &[], &["10.0.0.0/8"]).unwrap(), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["unknown"], &["10.0.0.0/8"]), None);
    }
}
