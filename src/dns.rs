//! The one question that the gateway asks of the domain name system: which texts stand under a name.
//!
//! Nothing is cached: who has just published a record asks again at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

/// For one attempt, of two.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("this machine names no DNS server (/etc/resolv.conf)")]
    NoServer,
    #[error("the DNS server did not answer usably: {0}")]
    Failed(String),
}

/// Cheap to clone. Without a server every question fails with words.
#[derive(Debug, Clone)]
pub struct Dns(Option<Arc<TokioResolver>>);

impl Dns {
    /// The servers of this machine.
    #[must_use]
    pub fn system() -> Self {
        let made = TokioResolver::builder_tokio().and_then(|mut builder| {
            settle(builder.options_mut());
            builder.build()
        });
        if let Err(error) = &made {
            tracing::debug!(%error, "domains cannot be verified: there is no DNS server");
        }
        Self(made.ok().map(Arc::new))
    }

    /// One server, over UDP and, for long answers, TCP.
    #[must_use]
    pub fn at(server: SocketAddr) -> Self {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = server.port();
            connection
        };
        let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
        let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections)]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        settle(builder.options_mut());
        Self(builder.build().ok().map(Arc::new))
    }

    /// The texts under an absolute name, each whole; none where the name or such a record does not exist.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let resolver = self.0.as_ref().ok_or(DnsError::NoServer)?;
        // The dot at the end keeps the search list of this machine out of it.
        match resolver.txt_lookup(format!("{}.", name.trim_end_matches('.'))).await {
            Ok(found) => Ok(found.answers().iter().filter_map(|record| text(&record.data)).collect()),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(DnsError::Failed(error.to_string())),
        }
    }
}

fn settle(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = TIMEOUT;
    options.attempts = 2;
}

/// A record's text comes in pieces of up to 255 bytes (RFC 1035 section 3.3.14).
fn text(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
}
