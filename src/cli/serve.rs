//! `rolegate serve`: the gateway, until it is told to end. Then it finishes what was begun and seals it.

use std::{io, net::SocketAddr, time::Duration};

use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{Context, Failure};
use crate::{
    app::App,
    http::{self, listen::Bounds},
    jobs,
};

/// How long clients may take to finish what they were sending when the gateway is told to end.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: set `listen` to an address of this machine that is free")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the process cannot be told about SIGTERM and SIGINT")]
    Signals(#[source] io::Error),
}

#[derive(Debug, Args)]
pub struct Serve {}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let app = context.open().await?;
        let listener = listen(&app).await?;
        let stop = stop_on_signal()?;
        Ok(serve(app, listener, stop).await?)
    }
}

/// The listener of the configured address.
pub async fn listen(app: &App) -> Result<TcpListener, ServeError> {
    let address = app.config.listen;
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Serves until `stop` turns true: no new connections then, requests come to their end, what they wrote is sealed.
pub async fn serve(app: App, listener: TcpListener, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    tracing::info!(listen = ?listener.local_addr().ok(), public_url = %app.config.public_url, "rolegate serves");
    let (jobs_stop, jobs_stopped) = watch::channel(false);
    let jobs = tokio::spawn(jobs::run(app.clone(), jobs_stopped));
    let bounds = Bounds::new(&app.config.trusted_proxies);
    let server = http::listen::serve(listener, http::router(app.clone()), bounds, stop.clone());
    tokio::select! {
        () = server => {}
        // Requests run in tasks of their own: what is cut off here is only clients that do not finish sending.
        () = async { told(stop).await; tokio::time::sleep(DRAIN).await } => {}
    }
    app.under_way.ended().await;
    jobs_stop.send_replace(true);
    if let Err(error) = jobs.await {
        tracing::error!(%error, "the jobs ended before their time");
    }
    app.db.close().await;
    tracing::info!("rolegate ended");
    Ok(())
}

async fn told(mut stop: watch::Receiver<bool>) {
    // A sender that is gone is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Turns true at the first SIGTERM or SIGINT.
pub fn stop_on_signal() -> Result<watch::Receiver<bool>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end: finishing the requests under way");
        sender.send_replace(true);
    });
    Ok(receiver)
}
