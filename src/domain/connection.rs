//! A connection: one identity provider, speaking SCIM, SAML or both for one organization.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    id::{ConnectionId, OrganizationId, TenantId},
    name::Slug,
    rate::Rate,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    Admin,
    SelfService,
}

/// Whose facts count when a person is known by both protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// While a live SCIM resource exists, SAML updates only its own facts.
    #[default]
    ScimElseSaml,
    Scim,
    Saml,
    Union,
}

/// Whether an unknown person's first sign-in makes an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jit {
    Off,
    Create,
    CreatePending,
}

/// What a SAML response without any groups attribute means for rule-held assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingGroups {
    #[default]
    Keep,
    Empty,
    RefuseSignIn,
}

/// How deviations from SCIM are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[default]
    Tolerant,
    Strict,
}

/// A member id in a group request that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownMembers {
    #[default]
    Refuse,
    Skip,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScimSettings {
    pub enabled: bool,
    pub dialect: Dialect,
    pub unknown_members: UnknownMembers,
    /// Requests that each node takes; 0: without limit.
    pub requests_per_second: u32,
    /// Requests that each node takes at once after a pause.
    pub burst: u32,
    /// After so many hours without a request somebody is told; 0: never.
    pub silence_alarm_hours: u32,
    /// `/ResourceTypes` and `/Schemas` list roles, for entitlement discovery. Clients that take every type for one they may write stumble
    /// over it; `/Roles` itself is always there.
    pub announce_roles: bool,
}

impl Default for ScimSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            dialect: Dialect::default(),
            unknown_members: UnknownMembers::default(),
            requests_per_second: 200,
            burst: 1000,
            silence_alarm_hours: 0,
            announce_roles: false,
        }
    }
}

impl ScimSettings {
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.requests_per_second, burst: self.burst }
    }
}

/// Which SAML value finds the account of a SCIM resource: `scim` is `userName` or `externalId`, `saml` is `NameID` or an attribute name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    pub scim: String,
    pub saml: String,
}

/// The binding of AuthnRequests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestBinding {
    #[default]
    Redirect,
    Post,
}

/// How the context that is asked for compares with the one that is given (SAML core, 3.3.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    #[default]
    Exact,
    Minimum,
    Maximum,
    Better,
}

impl Comparison {
    /// The word in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Better => "better",
        }
    }
}

/// How people are to prove who they are: RequestedAuthnContext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthnContext {
    /// AuthnContextClassRef values, in the order of preference.
    pub classes: Vec<String>,
    #[serde(default)]
    pub comparison: Comparison,
    /// A response that says another class is refused. Only `exact` can be checked: the others need an order that SAML does not define.
    #[serde(default)]
    pub required: bool,
}

/// The largest tolerance for a wrong clock that a connection may have.
pub const MAX_SKEW_SECS: i64 = 300;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with one another")]
pub struct SamlSettings {
    pub enabled: bool,
    /// The identity provider's entity ID, compared exactly.
    pub idp_entity_id: String,
    /// Where HTTP-Redirect AuthnRequests go.
    pub sso_url: Option<String>,
    /// Where logout messages go by HTTP-Redirect.
    pub slo_redirect_url: Option<String>,
    /// Where they go by HTTP-POST.
    pub slo_post_url: Option<String>,
    /// Where HTTP-POST AuthnRequests go.
    pub sso_post_url: Option<String>,
    /// How AuthnRequests go, where the identity provider takes both ways.
    pub request_binding: RequestBinding,
    /// Whether AuthnRequests are signed; `None`: when the identity provider's metadata asks for it.
    pub sign_requests: Option<bool>,
    /// What the metadata says of it.
    pub idp_wants_signed_requests: bool,
    /// Whoever is signed in at the identity provider already signs in there once more.
    pub force_authn: bool,
    pub authn_context: Option<AuthnContext>,
    pub sign_metadata: bool,
    /// AES-CBC is taken for encrypted assertions, inside signed responses.
    pub allow_cbc: bool,
    /// So many days an expired certificate of the identity provider goes on verifying; somebody is told.
    pub expired_certificate_days: i64,
    pub jit: Option<Jit>,
    pub idp_initiated: bool,
    pub correlate: Option<Correlation>,
    /// Take the subject from this attribute instead of NameID.
    pub subject_attribute: Option<String>,
    pub missing_groups: MissingGroups,
    /// Splits groups that come as one string.
    pub group_delimiter: Option<String>,
    pub skew_secs: i64,
    pub name_id_format: Option<String>,
    pub session_ttl_secs: i64,
}

impl Default for SamlSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            idp_entity_id: String::new(),
            sso_url: None,
            slo_redirect_url: None,
            slo_post_url: None,
            sso_post_url: None,
            request_binding: RequestBinding::default(),
            sign_requests: None,
            idp_wants_signed_requests: false,
            force_authn: false,
            authn_context: None,
            sign_metadata: false,
            allow_cbc: false,
            expired_certificate_days: 14,
            jit: None,
            idp_initiated: false,
            correlate: None,
            subject_attribute: None,
            missing_groups: MissingGroups::default(),
            group_delimiter: None,
            skew_secs: 60,
            name_id_format: None,
            session_ttl_secs: 8 * 3600,
        }
    }
}

impl SamlSettings {
    #[must_use]
    pub fn signs_requests(&self) -> bool {
        self.sign_requests.unwrap_or(self.idp_wants_signed_requests)
    }

    /// What a response must say of how people proved who they are; empty: anything.
    #[must_use]
    pub fn required_contexts(&self) -> &[String] {
        self.authn_context.as_ref().filter(|context| context.required).map(|context| &context.classes[..]).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub id: ConnectionId,
    pub tenant: TenantId,
    pub organization: OrganizationId,
    pub slug: Slug,
    pub audience: Audience,
    pub authority: Authority,
    pub enabled: bool,
    /// Owner-class roles may be named by its rules.
    pub allow_owner_grants: bool,
    pub scim: ScimSettings,
    pub saml: SamlSettings,
    /// Identity name → SAML attribute name.
    pub attributes: BTreeMap<String, String>,
    /// Raised by every change of the connection, its certificates and its published mapping.
    pub version: i64,
}

impl Connection {
    /// Whether people sign in through it.
    #[must_use]
    pub fn signs_in(&self) -> bool {
        self.enabled && self.saml.enabled
    }

    /// `off` once SCIM is on, unless the connection says otherwise.
    #[must_use]
    pub fn jit(&self) -> Jit {
        self.saml.jit.unwrap_or(if self.scim.enabled { Jit::Off } else { Jit::Create })
    }
}
