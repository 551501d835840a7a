//! The headers on the wire: for each a view over bytes and a plain struct that parses from it and emits into it.
//!
//! Nothing here keeps state or knows a socket. Parsing never copies a payload and never panics, whatever the bytes are;
//! what is printed looks as tcpdump prints it.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod completion;
pub(crate) mod ethernet;
pub(crate) mod icmp;
pub(crate) mod icmpv6;
pub(crate) mod ip;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
pub(crate) mod ipv6_ext;
pub(crate) mod malformed;
pub(crate) mod ndp;
pub(crate) mod tcp;
pub(crate) mod tcp_options;
pub(crate) mod udp;
