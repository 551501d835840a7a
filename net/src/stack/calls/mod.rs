//! The system calls, as the host makes them: a file for each layer that answers.

mod host;
mod socket;
mod tcp;
mod udp;
