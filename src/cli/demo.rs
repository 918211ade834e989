//! `rolegate demo`: the whole product on an embedded database, shown and checked: people pushed by SCIM and signed in by SAML over real
//! HTTP, every role explained. Development only: its identity provider asks nobody for a password and listens on loopback alone.

mod client;
mod idp;
mod people;
mod place;
mod story;
mod tell;

use std::{net::IpAddr, path::PathBuf};

use clap::Args;
use tokio::{net::TcpListener, sync::watch};

use self::{idp::Idp, place::Place, story::Story, tell::Teller};
use super::{Failure, Output, plan, serve};
use crate::{
    admin::apply::{self, Applied},
    app::{App, Clock, Migrations, Random},
    domain::actor::Actor,
    keys,
};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[derive(Debug, Args)]
pub struct Demo {
    /// End after the printing, with status 0 when everything happened as told
    #[arg(long)]
    exit: bool,
    /// An empty directory for the database and the sample files; without it a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Demo {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let (clock, random) = (Clock::System, Random::System);
        let place = Place::make(self.data_dir, &random)?;
        let listener = TcpListener::bind((LOOPBACK, 0)).await?;
        let idp = Idp::bind(LOOPBACK, clock.clone(), random.clone()).await?;
        let config = place.config(listener.local_addr()?)?;
        // Made here, so that nobody is told to back it up.
        keys::Keys::create(&config.master_key_file, random.bytes())?;
        let app = App::open_with(config, Migrations::Run, clock, random).await?;

        let file = place.write_tenant(&idp.metadata())?;
        let applied = apply_file(&app, &file).await?;
        let idp_address = idp.base.clone();
        let idp = tokio::spawn(idp.serve(app.config.public_url.as_str().to_owned()));
        let mut signalled = serve::stop_on_signal()?;
        let (ending, stop) = watch::channel(false);
        let server = tokio::spawn(serve::serve(app.clone(), listener, stop));

        let mut teller = Teller::new(output);
        let story = Story { app: &app, tenant: applied.tenant, file: &file, idp: &idp_address, links: &applied.links };
        let mut told = story.tell(&mut teller).await.and_then(|()| teller.end());
        if told.is_ok() && !self.exit {
            told = story.invite(&mut teller, place.path());
            if told.is_ok() {
                // A sender that is gone is an end too.
                let _ = signalled.wait_for(|signalled| *signalled).await;
            }
        }
        ending.send_replace(true);
        let ended = server.await;
        idp.abort();
        told?;
        ended??;
        Ok(())
    }
}

/// The same way as `rolegate apply FILE`.
async fn apply_file(app: &App, file: &PathBuf) -> Result<Applied, Failure> {
    let (file, metadata) = plan::read(file, &app.outbound).await?;
    let mut occasion = app.occasion(Actor::HostOperator, plan::correlation(&app.random));
    let mut mint = || keys::secret(app.random.bytes());
    Ok(apply::apply(&app.db, &mut occasion, &mut mint, &file, &metadata).await?)
}
