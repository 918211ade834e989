//! Who acts: every change and every audit row names one.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    account::AccountKind,
    assignment::Assignment,
    capability::Capability,
    connection::Audience,
    id::{AccountId, ApiTokenId, AppTokenId, ConnectionId, IdSource, OrganizationId, SessionId, TokenId},
    model::RoleModel,
    time::Timestamp,
};

/// What every change carries along: who makes it, when, under which request, and where its new identifiers come from.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub actor: Actor,
    pub now: Timestamp,
    pub ids: IdSource,
    /// The request's id, in logs and in audit rows.
    pub correlation: String,
    /// The id that the client gave its request.
    pub client_request_id: Option<String>,
    /// What was changed so far.
    pub tally: Tally,
}

/// The ids of a request: ours, and the one that the client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    pub id: String,
    pub client_request_id: Option<String>,
}

impl From<String> for Correlation {
    fn from(id: String) -> Self {
        Self { id, client_request_id: None }
    }
}

impl From<&str> for Correlation {
    fn from(id: &str) -> Self {
        id.to_owned().into()
    }
}

/// How much a request changed, for its entry in the provisioning log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Changes of accounts, identities and groups.
    pub facts: i64,
    /// Origins of assignments that came or went.
    pub assignments: i64,
}

/// The principal behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person (or a machine identity) with a session: what they hold decides.
    Account(AccountActor),
    /// A SCIM bearer: speaks SCIM for one connection and nothing else.
    Scim { connection: ConnectionId, token: TokenId },
    /// An application behind the role store: looks at one organization and what is below it, and never administers.
    Application { token: AppTokenId, organization: OrganizationId },
    /// An identity provider, speaking through a verified SAML response.
    Saml { connection: ConnectionId },
    /// Whoever may run the command line on the host.
    HostOperator,
    /// A job of the gateway itself.
    System,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountActor {
    pub account: AccountId,
    pub kind: AccountKind,
    pub session: SessionId,
    /// What the session was begun for: of self-service, it administers nothing.
    pub surface: Audience,
    /// Live assignments of the account, of every organization.
    pub assignments: Vec<Assignment>,
    /// What a token was made for; `None`: all that the account may do.
    pub only: Option<BTreeSet<Capability>>,
    /// Where changes of roles wait for the next sign-in and something has changed since this one: what it may do besides is of no use.
    pub at_sign_in: Option<AtSignIn>,
    /// The state in which these rights were read. A transaction that writes confirms it first.
    pub seen: RightsSeen,
}

/// What decides the rights of a session, as versions. While all of it is the same, the rights are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RightsSeen {
    /// Of roles, organizations and settings.
    pub model_version: i64,
    /// Of the account's assignments.
    pub held_version: i64,
    pub home: Option<OrganizationId>,
    /// The token that the request came with; `None` for the session itself.
    pub api_token: Option<ApiTokenId>,
}

/// What a session could do when it began: the assignments of then, and today's model with the roles as they were.
#[derive(Debug, Clone)]
pub struct AtSignIn {
    pub assignments: Vec<Assignment>,
    pub model: Arc<RoleModel>,
}

impl PartialEq for AtSignIn {
    fn eq(&self, other: &Self) -> bool {
        self.assignments == other.assignments && Arc::ptr_eq(&self.model, &other.model)
    }
}

impl Eq for AtSignIn {}

impl Actor {
    /// The word in audit rows.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Scim { .. } => "scim_token",
            Self::Application { .. } => "app_token",
            Self::Saml { .. } => "saml_idp",
            Self::HostOperator => "host_operator",
            Self::System => "system",
        }
    }

    /// The id in audit rows: of the account, the token or the connection.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Account(actor) => Some(actor.account.to_string()),
            Self::Scim { token, .. } => Some(token.to_string()),
            Self::Application { token, .. } => Some(token.to_string()),
            Self::Saml { connection } => Some(connection.to_string()),
            Self::HostOperator | Self::System => None,
        }
    }

    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        match self {
            Self::Account(actor) => Some(actor.account),
            Self::Scim { .. } | Self::Application { .. } | Self::Saml { .. } | Self::HostOperator | Self::System => None,
        }
    }
}
