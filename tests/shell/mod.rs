//! What surrounds every request, and the process that serves them.

mod hang_up;
mod jobs;
mod killed;
mod requests;
