//! What surrounds every request, and the process that serves them.

mod audit_head;
mod away;
mod hang_up;
mod jobs;
mod killed;
mod locks;
mod log;
mod ready;
mod requests;
mod times;
